//! OpenSSL's own encryption of PEM texts: the `DEK-Info` header names a cipher and its initial vector, and the key is
//! made of the passphrase by MD5 (`EVP_BytesToKey` with one round, see `PEM_read` of OpenSSL).

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use cbc::Decryptor;
use md5::{Digest, Md5};
use pkcs8::der::SecretDocument;
use zeroize::Zeroizing;

/// The salt is this much of the vector.
const SALT: usize = 8;

/// How one text is encrypted.
#[derive(Debug)]
pub(super) struct Traditional {
    cipher: Cipher,
    vector: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
}

impl Traditional {
    /// From the value of `DEK-Info`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(dek_info: &str) -> Result<Self, String> {
        let (name, vector) = dek_info.split_once(',').ok_or("its \"DEK-Info\" has no initial vector")?;
        let (cipher, length) = match name {
            "AES-128-CBC" => (Cipher::Aes128, 16),
            "AES-192-CBC" => (Cipher::Aes192, 16),
            "AES-256-CBC" => (Cipher::Aes256, 16),
            "DES-EDE3-CBC" => (Cipher::TripleDes, 8),
            _ => return Err(format!("it is encrypted with {name}, which is not supported")),
        };
        let decoded = data_encoding::HEXUPPER_PERMISSIVE.decode(vector.as_bytes());
        match decoded {
            Ok(vector) if vector.len() == length => Ok(Self { cipher, vector }),
            _ => Err(format!("its \"DEK-Info\" has no initial vector of {length} bytes")),
        }
    }

    /// What the data says; `None` if the passphrase is another one.
    pub(super) fn decrypt(&self, data: &[u8], passphrase: &[u8]) -> Option<SecretDocument> {
        let key = |length| bytes_to_key(passphrase, &self.vector[..SALT], length);
        match self.cipher {
            Cipher::Aes128 => decrypt::<Decryptor<aes::Aes128>>(&key(16), &self.vector, data),
            Cipher::Aes192 => decrypt::<Decryptor<aes::Aes192>>(&key(24), &self.vector, data),
            Cipher::Aes256 => decrypt::<Decryptor<aes::Aes256>>(&key(32), &self.vector, data),
            Cipher::TripleDes => decrypt::<Decryptor<des::TdesEde3>>(&key(24), &self.vector, data),
        }
    }
}

fn decrypt<C: BlockModeDecrypt + KeyIvInit>(
    key: &[u8],
    vector: &[u8],
    data: &[u8],
) -> Option<SecretDocument> {
    let mut bytes = Zeroizing::new(data.to_vec());
    let plain = C::new_from_slices(key, vector).ok()?.decrypt_padded::<Pkcs7>(&mut bytes).ok()?;
    // Garbage is hardly ever DER of just this length.
    SecretDocument::try_from(plain).ok()
}

fn bytes_to_key(passphrase: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length.next_multiple_of(Md5::output_size())));
    while key.len() < length {
        let before = key.len().saturating_sub(Md5::output_size());
        let hash = Md5::new().chain_update(&key[before..]).chain_update(passphrase).chain_update(salt);
        key.extend_from_slice(&hash.finalize());
    }
    key.truncate(length);
    key
}
