# What the official image's script does: the tables, the owner, the server.
set -e
python -m argilla_server database migrate
python -m argilla_server database users create --first-name "$USERNAME" --username "$USERNAME" --password "$PASSWORD" \
  --api-key "$API_KEY" --role owner --workspace "$WORKSPACE"
exec python -m uvicorn argilla_server:app --host 0.0.0.0
