//! The encryption of turns: a store sees bytes.
//!
//! A stored turn begins with a byte: 0 and the turn as it is, or 1, the id of the key, a nonce, and what AES-256-GCM makes of
//! the turn. Whose turn it is and its place in the session are authenticated with it, so that a turn cannot be moved.

use bytes::Bytes;

use crate::config::SessionKey;
use crate::error::{Code, Error};
use crate::host::{Cipher, Host, SessionPlace, StoredTurn};

const PLAIN: u8 = 0;
const ENCRYPTED: u8 = 1;

const NONCE_BYTES: usize = 12;

/// Encrypts a turn with the first of the keys, if there is one.
///
/// # Errors
///
/// [`Code::Misconfigured`] if the platform cannot encrypt, and [`Code::Internal`] if that fails.
pub(super) async fn seal<H: Host>(
    turn: &str,
    place: &SessionPlace,
    position: u64,
    keys: &[SessionKey],
    host: &H,
) -> Result<StoredTurn, Error> {
    let Some(key) = keys.first() else {
        let sealed = [&[PLAIN], turn.as_bytes()].concat();
        return Ok(StoredTurn { position, sealed: sealed.into() });
    };
    let cipher = host.cipher().ok_or_else(no_cipher)?;
    let mut nonce = [0; NONCE_BYTES];
    nonce.iter_mut().zip(host.random().to_be_bytes()).for_each(|(to, from)| *to = from);
    let associated = associated(place, position);
    let encrypted = cipher.encrypt(key.expose(), &nonce, turn.as_bytes(), &associated).await;
    let encrypted = encrypted.map_err(|error| {
        let cause = format!("a turn of a session cannot be encrypted: {error}");
        Error::new(Code::Internal, "Internal server error").because(cause)
    })?;
    let sealed = [&[ENCRYPTED], &key.id[..], &nonce, &encrypted].concat();
    Ok(StoredTurn { position, sealed: sealed.into() })
}

/// Decrypts a turn.
///
/// # Errors
///
/// [`Code::Misconfigured`] if none of the keys is the one that it was encrypted with, if it was stored as it is though there
/// are keys, or if it was changed.
pub(super) async fn open<H: Host>(
    turn: &StoredTurn,
    place: &SessionPlace,
    keys: &[SessionKey],
    host: &H,
) -> Result<Bytes, Error> {
    let sealed = &turn.sealed;
    match sealed.split_first() {
        // Whoever can write to the storage could otherwise leave the encryption out.
        Some((&PLAIN, _)) if !keys.is_empty() => Err(unreadable(
            "it is not encrypted, and SESSION_KEY is set: delete the session, or wait until it expires",
        )),
        Some((&PLAIN, _)) => Ok(sealed.slice(1..)),
        Some((&ENCRYPTED, rest)) => {
            let (id, rest) = rest.split_first_chunk().ok_or_else(|| unreadable("it is cut off"))?;
            let (nonce, text) =
                rest.split_first_chunk().ok_or_else(|| unreadable("it is cut off"))?;
            let key = keys.iter().find(|key| key.id == *id);
            let key = key.ok_or_else(|| unreadable("its key is not in SESSION_KEY"))?;
            let cipher = host.cipher().ok_or_else(no_cipher)?;
            let associated = associated(place, turn.position);
            let decrypted = cipher.decrypt(key.expose(), nonce, text, &associated).await;
            decrypted.map(Bytes::from).map_err(|error| unreadable(&error.to_string()))
        }
        _ => Err(unreadable("its format is unknown")),
    }
}

fn associated(place: &SessionPlace, position: u64) -> Vec<u8> {
    format!("bedrock-edge session 1\n{}\n{}\n{position}", place.owner, place.id).into_bytes()
}

fn no_cipher() -> Error {
    Error::misconfigured("SESSION_KEY: the host platform cannot encrypt")
}

/// Describes why a turn cannot be read.
pub(super) fn unreadable(cause: &str) -> Error {
    Error::misconfigured(format!("a stored turn of a session cannot be read: {cause}"))
}
