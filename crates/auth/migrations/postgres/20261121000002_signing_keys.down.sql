DROP TABLE sealed_secrets;
DROP TABLE signing_keys;
