# What the official image's entry point does on its first start: makes the database, its user and the password.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" --auth-host scram-sha-256 --auth-local trust
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  pg_ctl -w -o '-c listen_addresses=' start
  createdb --host /var/run/postgresql --username "$POSTGRES_USER" "$POSTGRES_DB" || true
  pg_ctl -w stop
fi
exec "$@"
