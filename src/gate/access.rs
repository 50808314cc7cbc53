//! What is configured: who may come in, and how.

use super::jwt::Issuer;
use super::origin::Origins;
use super::sigv4::Keys;
use super::tokens::Tokens;
use crate::config::Variables;

/// Who may come in.
///
/// With nothing configured it is nobody: being open is an explicit choice.
#[derive(Debug)]
pub struct Access {
    open: bool,
    tokens: Tokens,
    issuer: Option<Issuer>,
    keys: Keys,
    origins: Origins,
    challenge: String,
}

impl Access {
    /// Reads `AUTH`, `API_TOKENS`, `JWT_ISSUER`, `JWT_AUDIENCE`, `JWT_JWKS_URL`,
    /// `JWT_REQUIRED_SCOPE`, `CLIENT_KEYS` and `ALLOWED_ORIGINS`.
    pub(crate) fn read(vars: &mut Variables<impl Fn(&str) -> Option<String>>) -> Option<Self> {
        let open = vars.read_optional("AUTH", |text| match text {
            "open" => Ok(()),
            _ => Err("must be open, or not set"),
        });
        let tokens = vars.read_optional("API_TOKENS", Tokens::parse);
        let issuer = Issuer::read(vars);
        let keys = vars.read_optional("CLIENT_KEYS", Keys::parse);
        let origins = vars.read_optional("ALLOWED_ORIGINS", Origins::parse);
        if let Some(Some(())) = open {
            // Whoever set both wants one of them, and only one guess is safe.
            for name in ["API_TOKENS", "JWT_ISSUER", "CLIENT_KEYS"] {
                if vars.non_empty(name).is_some() {
                    vars.problem(name, "is set, and AUTH is open: take one of them out");
                }
            }
        }
        let (open, tokens) = (open?.is_some(), tokens?.unwrap_or_default());
        let (issuer, keys) = (issuer?, keys?.unwrap_or_default());

        let mut challenges = Vec::new();
        // RFC 9110 wants a challenge in every 401. Where nothing is configured it is this one.
        if keys.is_empty() || !tokens.is_empty() || issuer.is_some() {
            challenges.push(r#"Bearer realm="bedrock-edge""#);
        }
        if !keys.is_empty() {
            challenges.push("AWS4-HMAC-SHA256");
        }
        let challenge = challenges.join(", ");
        Some(Self { open, tokens, issuer, keys, origins: origins?.unwrap_or_default(), challenge })
    }

    /// `AUTH=open`: nobody is asked.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether callers may sign.
    #[cfg(feature = "workerd")]
    pub(crate) fn takes_signatures(&self) -> bool {
        !self.keys.is_empty()
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(super) fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_ref()
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    /// `WWW-Authenticate`: one challenge for each scheme.
    pub(super) fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The log's words for a request without a credential.
    pub(super) fn why_none(&self) -> &'static str {
        if self.tokens.is_empty() && self.issuer.is_none() && self.keys.is_empty() {
            "no access method is configured: set API_TOKENS, JWT_ISSUER or CLIENT_KEYS, or AUTH=open"
        } else {
            "there is no credential"
        }
    }

    /// The headers that a page may send.
    pub(super) fn headers(&self) -> String {
        let mut names = vec!["content-type"];
        if !self.open {
            names.push("authorization");
        }
        if !self.tokens.is_empty() {
            names.push("x-api-key");
        }
        if !self.keys.is_empty() {
            // What the AWS SDK for JavaScript sends.
            names.extend(["x-amz-date", "x-amz-content-sha256", "x-amz-user-agent"]);
            names.extend(["amz-sdk-invocation-id", "amz-sdk-request"]);
        }
        names.join(", ")
    }
}
