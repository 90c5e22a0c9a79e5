DROP TABLE org_documents;
