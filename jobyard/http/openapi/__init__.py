"""The OpenAPI document, and the page that shows it; the first request for either builds it."""
