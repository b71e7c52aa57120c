//! TLS with certificates of files, which a DestinationRule names.

use std::{fs, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};

use crate::{
    originated::{rule, sidecar},
    site::{self, Site},
    subject::{entry, through},
};

const NAME: &str = "secure.example.com";

/// An authority of the test's own.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self {
            certificate: params.self_signed(&key).unwrap(),
            issuer: Issuer::new(params, key),
        }
    }

    fn certify(&self, name: &str, serial: u64) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes a client's certificate and key.
    fn write_client(&self, folder: &Path) {
        let (certificate, key) = self.certify("client.example.com", 7);
        fs::write(folder.join("client.pem"), certificate.pem()).unwrap();
        fs::write(folder.join("client-key.pem"), key.serialize_pem()).unwrap();
    }

    /// Writes a list with the serial numbers that are `revoked`.
    fn write_revoked(&self, path: &Path, revoked: &[u64]) {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        fs::write(path, list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
    }

    /// A site with a certificate of this authority, of serial number 5, which takes clients of `clients` alone.
    fn site(&self, clients: Option<&Self>) -> Site {
        let (certificate, key) = self.certify(NAME, 5);
        let builder = ServerConfig::builder();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.certificate.der().clone()).unwrap();
                builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
            }
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        site::encrypted(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

/// Has the sidecar connect anew for each of a connection's requests.
fn policy(tls: &str) -> Vec<String> {
    let pool = "connectionPool: {http: {maxRequestsPerConnection: 1}}";
    vec![
        entry(NAME, 80, "HTTP"),
        rule(NAME, &format!("{{{pool}, tls: {{{tls}}}}}")),
    ]
}

#[test]
fn a_client_shows_the_certificate_of_its_file_and_trusts_those_of_its_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (authority, other) = (Authority::new(), Authority::new());
    let site = authority.site(Some(&other));
    let (trust, system) = (folder.join("ca.pem"), folder.join("system.pem"));
    fs::write(&system, other.certificate.pem()).unwrap();
    let tls = format!(
        "mode: MUTUAL, caCertificates: {0}/ca.pem, clientCertificate: {0}/client.pem, privateKey: {0}/client-key.pem",
        folder.display()
    );
    let subject = sidecar(&system, 80, &[NAME], &site, policy(&tls));
    let status = || through(&subject, &[&format!("http://{NAME}/")]).status();

    assert_eq!(status(), 503);
    let line = &subject.log(1)[0];
    let failed =
        "UF upstream_reset_before_response_started{remote_connection_failure|TLS_error:_Secret_is_not_supplied_by_SDS}";
    assert!(line.contains(failed), "{line}");
    subject.message(&format!(
        "connections that need it fail until it can be used: {}",
        trust.display()
    ));

    fs::write(&trust, authority.certificate.pem()).unwrap();
    assert_eq!(status(), 503, "there is no certificate to show yet");
    other.write_client(folder);
    assert_eq!(status(), 200);

    // What is half written is not taken, and what was there stays in use.
    fs::write(folder.join("client-key.pem"), "half").unwrap();
    assert_eq!(status(), 200);
    subject.message("those from before stay in use");

    authority.write_client(folder);
    assert_eq!(
        status(),
        503,
        "the site does not know the authority of the new certificate"
    );
    other.write_client(folder);
    assert_eq!(status(), 200);
    fs::write(&trust, other.certificate.pem()).unwrap();
    assert_eq!(status(), 503, "the site is not of the authority that is trusted now");
}

#[test]
fn a_file_that_is_put_right_is_read_again_whatever_its_time_says() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("ca.pem");
    let authority = Authority::new();
    let site = authority.site(None);
    let good = authority.certificate.pem();
    fs::write(&trust, "x".repeat(good.len())).unwrap();
    let modified = fs::metadata(&trust).unwrap().modified().unwrap();
    let tls = format!("mode: SIMPLE, caCertificates: {}", trust.display());
    let subject = sidecar(Path::new("/dev/null"), 80, &[NAME], &site, policy(&tls));
    let status = || through(&subject, &[&format!("http://{NAME}/")]).status();
    assert_eq!(status(), 503);
    fs::write(&trust, good).unwrap();
    fs::File::options()
        .write(true)
        .open(&trust)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert_eq!(status(), 200);
}

#[test]
fn a_certificate_that_its_authority_revoked_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new();
    let site = authority.site(None);
    let (trust, list) = (folder.join("ca.pem"), folder.join("crl.pem"));
    fs::write(&trust, authority.certificate.pem()).unwrap();
    authority.write_revoked(&list, &[6]);
    let tls = format!(
        "mode: SIMPLE, caCertificates: {}, caCrl: {}",
        trust.display(),
        list.display()
    );
    let subject = sidecar(Path::new("/dev/null"), 80, &[NAME], &site, policy(&tls));
    let status = || through(&subject, &[&format!("http://{NAME}/")]).status();
    assert_eq!(status(), 200);
    authority.write_revoked(&list, &[5, 6]);
    assert_eq!(status(), 503);
    Authority::new().write_revoked(&list, &[]);
    assert_eq!(status(), 503, "Envoy: who has no list of its own authority is refused");
}
