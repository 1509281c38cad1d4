"""The OpenAPI document, and the page that shows it. Nothing of it is built before somebody asks for it."""
