//! The client side of TLS, for asking our own server for its health.

use crate::failure::Failure;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// A client that takes exactly this certificate, whatever name and time it holds; with `None`, which is
/// for loopback only, any.
///
/// # Errors
/// [`Failure`] if the library cannot speak TLS.
pub(crate) fn own_client(
    expected: Option<CertificateDer<'static>>,
) -> Result<Arc<ClientConfig>, Failure> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let verifier = OwnServer {
        expected,
        algorithms: provider.signature_verification_algorithms,
    };
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::internal(format!("TLS cannot be spoken: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(client))
}

#[derive(Debug)]
struct OwnServer {
    expected: Option<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for OwnServer {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.expected {
            Some(expected) if expected != shown => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, shown, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, shown, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        made.cert.der().clone()
    }

    #[test]
    fn exactly_the_expected_certificate_is_taken() {
        let (own, other) = (certificate(), certificate());
        let takes = |expected: Option<&CertificateDer<'static>>, shown| {
            let verifier = OwnServer {
                expected: expected.cloned(),
                algorithms: ring::default_provider().signature_verification_algorithms,
            };
            let name = ServerName::try_from("192.0.2.1").unwrap();
            verifier
                .verify_server_cert(shown, &[], &name, &[], UnixTime::now())
                .is_ok()
        };
        assert!(takes(Some(&own), &own) && !takes(Some(&own), &other));
        assert!(takes(None, &own) && takes(None, &other));
        assert!(own_client(None).is_ok());
    }
}
