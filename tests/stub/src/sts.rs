//! A stand-in for STS, on the same port, at `/sts/`: `AssumeRole`, and the temporary keys that it has issued,
//! which are then good for Bedrock.
//!
//! Out of scope: whether there is such a role, and whom it trusts: whoever may sign may assume any.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::auth::{self, AccessKey};
use crate::error::AwsError;
use crate::server::Settings;
use crate::sigv4::{Authorization, Received};

/// The service in the credential scope.
pub const SERVICE: &str = "sts";

/// A way for STS to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StsFault {
    /// 403 `AccessDenied`, as where the role does not trust the key.
    AccessDenied,
    /// 400 `Throttling`.
    Throttled,
    /// 500 `InternalFailure`.
    InternalFailure,
    /// 503 and HTML, of a proxy in between.
    Html,
    /// 200 and something that is no XML.
    NotXml,
    /// 200 and credentials without a token.
    NoToken,
    /// No answer at all.
    Silence,
}

/// What was asked of it, and what came of that.
#[derive(Default)]
pub(crate) struct Sts {
    calls: AtomicU64,
    faults: Mutex<VecDeque<StsFault>>,
    issued: Mutex<Vec<Issued>>,
}

struct Issued {
    key: AccessKey,
    expires: SystemTime,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sts {
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = StsFault>) {
        lock(&self.faults).extend(faults);
    }

    /// Bedrock takes none of the keys any more, whatever was said of their end.
    pub(crate) fn expire_all(&self) {
        for issued in lock(&self.issued).iter_mut() {
            issued.expires = SystemTime::UNIX_EPOCH;
        }
    }

    /// The keys that are good, to be known by Bedrock.
    ///
    /// # Errors
    ///
    /// 403 `ExpiredTokenException`, if the request is signed with one that was good.
    pub(crate) fn keys(
        &self,
        received: &Received,
        now: SystemTime,
    ) -> Result<Vec<AccessKey>, AwsError> {
        let authorization = received.header("authorization").unwrap_or_default();
        let id = Authorization::parse(authorization).map(|it| it.access_key_id).unwrap_or_default();
        let issued = lock(&self.issued);
        if issued.iter().any(|it| it.key.id == id && it.expires <= now) {
            return Err(AwsError::authentication(
                "ExpiredTokenException",
                "The security token included in the request is expired",
            ));
        }
        Ok(issued.iter().map(|it| it.key.clone()).collect())
    }

    pub(crate) async fn answer(&self, received: &Received, settings: &Settings) -> Response {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(settings.sts_delay).await;
        let now = SystemTime::now();
        let keys = settings.sts_keys.clone();
        let settings = Settings { keys, ..settings.clone() };
        if let Err(error) = auth::verify(received, SERVICE, &settings, now) {
            // As STS names them.
            let code = match error.name {
                "InvalidSignatureException" => "SignatureDoesNotMatch",
                "UnrecognizedClientException" => "InvalidClientTokenId",
                "MissingAuthenticationTokenException" => "MissingAuthenticationToken",
                _ => "IncompleteSignature",
            };
            return refusal(StatusCode::FORBIDDEN, code, &error.message);
        }
        let fault = lock(&self.faults).pop_front();
        let form = Form::parse(&received.body);
        let (role, session) = match form.assume_role() {
            Ok(asked) => asked,
            Err(message) => return refusal(StatusCode::BAD_REQUEST, "ValidationError", message),
        };
        let mut with_token = true;
        match fault {
            None => {}
            Some(StsFault::NoToken) => with_token = false,
            Some(StsFault::Silence) => std::future::pending().await,
            Some(fault) => return failure(fault, role),
        }
        let key = AccessKey {
            id: format!("ASIASTANDIN{number:09}"),
            secret: format!("temporary/secret/of/the/stand/in{number:08}"),
            session_token: Some(format!("FwoGZXIvYXdzEXAMPLE//////////temporary+token{number}==")),
        };
        let expires = now + settings.sts_lifetime;
        let answer = granted(&key, expires, role, session, with_token);
        lock(&self.issued).push(Issued { key, expires });
        answer
    }
}

/// A body of `application/x-www-form-urlencoded`.
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let decoded = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    fn value(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The role and the session's name.
    fn assume_role(&self) -> Result<(&str, &str), &'static str> {
        if (self.value("Action"), self.value("Version")) != ("AssumeRole", "2011-06-15") {
            return Err("Could not find operation");
        }
        match (self.value("RoleArn"), self.value("RoleSessionName")) {
            (role, session) if role.starts_with("arn:aws:iam::") && session.len() >= 2 => {
                Ok((role, session))
            }
            _ => Err("RoleArn and RoleSessionName must be given"),
        }
    }
}

fn failure(fault: StsFault, role: &str) -> Response {
    match fault {
        StsFault::AccessDenied => refusal(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            &format!(
                "User: arn:aws:iam::123456789012:user/edge is not authorized to perform: \
                 sts:AssumeRole on resource: {role}"
            ),
        ),
        StsFault::Throttled => refusal(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded"),
        StsFault::InternalFailure => {
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", "We tried & failed")
        }
        StsFault::Html => (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::CONTENT_TYPE, "text/html")],
            "<html><head><title>503</title></head><body><br>Try again</body></html>",
        )
            .into_response(),
        _ => xml(StatusCode::OK, "Welcome".to_owned()),
    }
}

fn granted(
    key: &AccessKey,
    expires: SystemTime,
    role: &str,
    session: &str,
    with_token: bool,
) -> Response {
    let expires = OffsetDateTime::from(expires).replace_nanosecond(0).expect("a nanosecond");
    let expires = expires.format(&Rfc3339).expect("a time of this century");
    let token = key.session_token.as_deref().filter(|_| with_token);
    let token =
        token.map_or(String::new(), |token| format!("<SessionToken>{token}</SessionToken>"));
    let (id, secret) = (&key.id, &key.secret);
    let assumed = role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/");
    xml(
        StatusCode::OK,
        format!(
            r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleResult>
    <AssumedRoleUser>
      <AssumedRoleId>AROA3XFRBF535PLBIFPI4:{session}</AssumedRoleId>
      <Arn>{assumed}/{session}</Arn>
    </AssumedRoleUser>
    <Credentials>
      <AccessKeyId>{id}</AccessKeyId>
      <SecretAccessKey>{secret}</SecretAccessKey>
      {token}
      <Expiration>{expires}</Expiration>
    </Credentials>
  </AssumeRoleResult>
  <ResponseMetadata>
    <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
  </ResponseMetadata>
</AssumeRoleResponse>
"#
        ),
    )
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let kind = if status.is_server_error() { "Receiver" } else { "Sender" };
    xml(
        status,
        format!(
            r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error>
    <Type>{kind}</Type>
    <Code>{code}</Code>
    <Message>{message}</Message>
  </Error>
  <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
</ErrorResponse>
"#
        ),
    )
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

/// An hour, as AssumeRole gives if nothing else is asked for.
pub const LIFETIME: Duration = Duration::from_secs(3600);
