//! Who is asking and may they: x509, tokens, RBAC, the node authorizer.
