"""The ledger's database: tables, migrations, connections, and how statements are run."""
