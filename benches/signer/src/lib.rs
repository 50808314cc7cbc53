//! bedrock-edge's signing alone, as the exports of a wasm module without imports, for the Worker
//! `benches/workers/sign-bedrock-edge.js`.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use bedrock_edge::{Credentials, Scope, SigningCache, sign_post};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, Uri};
use sha2::{Digest, Sha256};

struct Signer {
    credentials: Credentials,
    cache: SigningCache,
    uri: Uri,
    body: Vec<u8>,
    hash: [u8; 32],
    authorization: Vec<u8>,
}

thread_local! {
    static SIGNER: RefCell<Signer> = RefCell::new(Signer {
        credentials: Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            None,
        ),
        cache: SigningCache::default(),
        uri: Uri::from_static(URI),
        body: Vec::new(),
        hash: [0; 32],
        authorization: Vec::new(),
    });
}

const URI: &str = "https://bedrock-runtime.ap-northeast-1.amazonaws.com\
     /model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke";

/// Allocates the body of the requests, and returns its address.
#[unsafe(no_mangle)]
pub extern "C" fn body(length: usize) -> *mut u8 {
    SIGNER.with_borrow_mut(|signer| {
        signer.body.resize(length, 0);
        signer.body.as_mut_ptr()
    })
}

/// Returns the address for the hash of a long body, which JavaScript calculates.
#[unsafe(no_mangle)]
pub extern "C" fn hash() -> *mut u8 {
    SIGNER.with_borrow_mut(|signer| signer.hash.as_mut_ptr())
}

/// Signs a request with that body, as `invoke_bedrock` does. Returns the length of its
/// `authorization` header, or 0 if signing fails.
#[unsafe(no_mangle)]
pub extern "C" fn sign(milliseconds: f64, is_hashed: bool) -> usize {
    SIGNER.with_borrow_mut(|signer| {
        signer.authorization.clear();
        let now = UNIX_EPOCH + Duration::from_millis(milliseconds as u64);
        let scope = Scope { region: "ap-northeast-1", service: "bedrock" };
        let request = Request::post(signer.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(signer.body.as_slice());
        let Ok(mut request) = request else { return 0 };
        let hash = if is_hashed { signer.hash } else { Sha256::digest(&signer.body).into() };
        if sign_post(&mut request, &hash, &signer.credentials, scope, now, &signer.cache).is_ok()
            && let Some(value) = request.headers().get(AUTHORIZATION)
        {
            signer.authorization.extend_from_slice(value.as_bytes());
        }
        signer.authorization.len()
    })
}

/// Returns the address of that header's value.
#[unsafe(no_mangle)]
pub extern "C" fn authorization() -> *const u8 {
    SIGNER.with_borrow(|signer| signer.authorization.as_ptr())
}
