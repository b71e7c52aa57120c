//! A certificate authority for one run, and one certificate for all its sites.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::SitesError;

/// The authority's certificate, and TLS with what it signed.
pub(super) struct Authority {
    pub pem: String,
    pub tls: Arc<ServerConfig>,
}

/// Makes an authority that lives as long as the process, and signs `hosts`.
pub(super) fn make<'h>(hosts: impl Iterator<Item = &'h str>) -> Result<Authority, SitesError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Egret playground");
    let certificate = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);

    let leaf_key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(hosts.map(str::to_string).collect::<Vec<_>>())?;
    leaf.distinguished_name
        .push(DnType::CommonName, "Egret playground site");
    let leaf = leaf.signed_by(&leaf_key, &issuer)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)?;
    Ok(Authority {
        pem: certificate.pem(),
        tls: Arc::new(tls),
    })
}
