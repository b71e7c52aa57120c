//! What a server's certificate is asked for. Source: Envoy's `DefaultCertValidator` with what Istio's
//! `setAutoSniAndAutoSanValidation` sets: an authority's signature, which comes first, and names, which policy or the
//! request's host give; without a name an authority's signature is all that Envoy asks for.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        VerifierBuilderError, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

/// Holds a certificate's chain against what is asked of it. Names are looked at later, and the server must have the key.
#[derive(Debug)]
pub(super) struct Chain {
    asked: Asked,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Asked {
    Nothing,
    Signature(Arc<RootCertStore>),
    /// A signature, and that nothing in the chain was revoked.
    Unrevoked(Arc<WebPkiServerVerifier>),
}

/// Looks for one of `names` in a certificate, where there are any. Those that are no DNS names or addresses are in none:
/// nobody but the mesh's own authority gives such.
pub(super) fn has_one_of(certificate: Option<&CertificateDer<'_>>, names: &[impl AsRef<str>]) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let certificate = ParsedCertificate::try_from(certificate.ok_or(Error::NoCertificatesPresented)?)?;
    let found = names.iter().any(|name| {
        ServerName::try_from(name.as_ref()).is_ok_and(|name| verify_server_name(&certificate, &name).is_ok())
    });
    match found {
        true => Ok(()),
        false => Err(CertificateError::NotValidForName.into()),
    }
}

impl Chain {
    /// Takes any certificate.
    pub(super) fn of_anybody(provider: Arc<CryptoProvider>) -> Self {
        let asked = Asked::Nothing;
        Self { asked, provider }
    }

    /// Takes what one of `roots` has signed.
    pub(super) fn of_trusted(roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Self {
        let asked = Asked::Signature(roots);
        Self { asked, provider }
    }

    /// Takes what one of `roots` has signed and `revoked` does not name. Envoy: `CRL_CHECK_ALL`, by which a list that is
    /// missing or too old for any certificate of the chain refuses it.
    pub(super) fn unrevoked(
        roots: Arc<RootCertStore>,
        revoked: Vec<CertificateRevocationListDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let builder = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).with_crls(revoked);
        let asked = Asked::Unrevoked(builder.enforce_revocation_expiration().build()?);
        Ok(Self { asked, provider })
    }
}

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.asked {
            Asked::Nothing => {}
            Asked::Signature(roots) => {
                let algorithms = self.provider.signature_verification_algorithms.all;
                let certificate = ParsedCertificate::try_from(certificate)?;
                verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
            }
            Asked::Unrevoked(verifier) => {
                match verifier.verify_server_cert(certificate, intermediates, name, response, now) {
                    // Names are looked at last, and here they are not asked for.
                    Ok(_)
                    | Err(Error::InvalidCertificate(
                        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                    )) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
