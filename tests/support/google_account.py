"""A service account of Google Cloud, and what its token server answers."""

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.answers import Answer, json


def service_account(folder: Path, token_url: str) -> Path:
    """A key file as Google's console makes it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "account.json"
    account = {"type": "service_account", "client_email": "a@b.example", "private_key": pem.decode()}
    file.write_bytes(msgspec.json.encode({**account, "project_id": "p", "token_uri": f"{token_url}/token"}))
    return file


def token_answer(token: str) -> Answer:
    """An access token that lives for an hour."""
    return json({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})
