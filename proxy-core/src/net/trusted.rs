//! Whom byte streams over TLS are spoken with. Source: Istio's `setAutoSniAndAutoSanValidation` with Envoy: the certificate's
//! name is taken from the request's Host, and a byte stream has none; without a name in the policy an authority's signature
//! is all that Envoy asks for.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

/// Takes a certificate that a trusted authority has signed, for the name that was asked for; for any where an address stands
/// in the name's place.
#[derive(Debug)]
pub(super) struct Trusted {
    named: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl Trusted {
    pub(super) fn new(roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let named = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        Ok(Self {
            named: named.map_err(|error| Error::General(error.to_string()))?,
            roots,
            provider,
        })
    }
}

/// Looks for one of `names` in a certificate, where there are any. Those that are no DNS names or addresses are in none:
/// nobody but the mesh's own authority gives such.
pub(super) fn has_one_of(certificate: Option<&CertificateDer<'_>>, names: &[Arc<str>]) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let certificate = ParsedCertificate::try_from(certificate.ok_or(Error::NoCertificatesPresented)?)?;
    let found = names
        .iter()
        .any(|name| ServerName::try_from(&**name).is_ok_and(|name| verify_server_name(&certificate, &name).is_ok()));
    match found {
        true => Ok(()),
        false => Err(CertificateError::NotValidForName.into()),
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let ServerName::DnsName(_) = name {
            return self
                .named
                .verify_server_cert(certificate, intermediates, name, response, now);
        }
        let algorithms = self.provider.signature_verification_algorithms.all;
        let certificate = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.named.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.named.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.named.supported_verify_schemes()
    }
}
