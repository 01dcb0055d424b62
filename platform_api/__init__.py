"""The channel-management API: one folder a business noun, plus live pages."""

from platform_api.kit import paths

# Before any route is declared: a path is compiled where it stands.
paths.install()
