//! Certificate authorities, certificates, kubeconfigs and join tokens, laid out as in k3s.
