//! The signatures of tokens: `jsonwebtoken` reads and checks a token, and calls ring for its cryptography through this
//! provider.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use signature::Error as Mismatch;

/// The algorithms of the relay's keys, for `jsonwebtoken`. No key of the relay is a JWK.
static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Makes `jsonwebtoken` use ring in this process. If the program that embeds the relay has installed a provider of its
/// own already, that one stays.
pub(crate) fn install() {
    let _ = PROVIDER.install_default();
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hmac(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let bytes = key.try_get_as_bytes()?;
    let public =
        |verification| Public { algorithm: *algorithm, key: UnparsedPublicKey::new(verification, bytes.to_vec()) };
    Ok(match algorithm {
        Algorithm::HS256 => Box::new(Hmac(hmac::Key::new(hmac::HMAC_SHA256, bytes))),
        Algorithm::ES256 => Box::new(public(&ECDSA_P256_SHA256_FIXED as &dyn VerificationAlgorithm)),
        Algorithm::RS256 => Box::new(public(&RSA_PKCS1_2048_8192_SHA256)),
        Algorithm::EdDSA => Box::new(public(&ED25519)),
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    })
}

/// HS256.
struct Hmac(hmac::Key);

impl signature::Signer<Vec<u8>> for Hmac {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Mismatch> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl signature::Verifier<Vec<u8>> for Hmac {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> std::result::Result<(), Mismatch> {
        // In constant time.
        hmac::verify(&self.0, message, tag).map_err(|_| Mismatch::new())
    }
}

impl JwtSigner for Hmac {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hmac {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

/// An algorithm with a public key.
struct Public {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl signature::Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Mismatch> {
        self.key.verify(message, signature).map_err(|_| Mismatch::new())
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
