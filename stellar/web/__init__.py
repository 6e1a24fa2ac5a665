"""Web pages: server-rendered, without a build step and without scripts in the browser."""
