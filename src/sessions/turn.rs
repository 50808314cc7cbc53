//! A turn under way: from the lease of its session to its end.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::envelope::{open, seal, unreadable};
use super::place::{self, available, no_such_session, unavailable};
use super::stored::{self, Prefix, Turn as Stored, keep_from};
use crate::claude::{Request, SessionName, Usage};
use crate::config::Config;
use crate::error::{Code, Error};
use crate::host::{Begun, Host, Lease, NewTurn, SessionPlace, SessionStore, StoredTurn};
use crate::identifier::Identifier;
use crate::limits::{Held, Memory, weight};
use crate::lock::lock;
use crate::log::Record;

/// The slowest model writes no fewer tokens a second.
const TOKENS_A_SECOND: u32 = 20;

/// The longest lease. A turn that takes longer is still added, unless another request has begun one since.
const LONGEST_LEASE: Duration = Duration::from_secs(15 * 60);

/// When to retry a request in a session in which another one runs.
const SOON: Duration = Duration::from_secs(1);

/// The longest time that a request waits for the memory of turns.
const PATIENCE: Duration = Duration::from_secs(2);

/// The part that is left out of earlier turns, as the response names it.
const THINKING: &str = "session.thinking";

/// The session that a WebSocket carries: that of its first good turn in one.
pub(crate) type Carried = Arc<Mutex<Option<String>>>;

/// A turn for which the lease of its session is taken. It must be committed or aborted.
#[derive(Debug)]
pub(crate) struct Turn {
    place: SessionPlace,
    token: String,
    position: u64,
    keep_from: u64,
    prefix: Prefix,
    /// The messages of this turn, as JSON.
    messages: Box<RawValue>,
    /// The sums of the turns before: tokens, and the cost if it is known.
    total: Option<(Usage, Option<u64>)>,
    carried: Option<Carried>,
    /// The memory of the earlier turns, until they are sent.
    held: Option<Held>,
}

/// A lease that is to be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Abandoned {
    pub place: SessionPlace,
    pub token: String,
}

impl Abandoned {
    /// Gives the lease back. If that fails, it expires.
    pub(crate) async fn send<H: Host>(self, host: &H) -> Result<(), String> {
        match host.sessions() {
            Some(sessions) => sessions
                .abort(&self.place, &self.token)
                .await
                .map_err(|error| format!("the lease of a session is not given back: {error}")),
            None => Ok(()),
        }
    }
}

/// Begins a turn in the session that a request names, and puts the earlier turns in front of its messages.
///
/// # Errors
///
/// If there are no sessions here, if the session does not exist or is busy, or if the store cannot be reached.
pub(crate) async fn begin<H: Host>(
    request: &mut Request<'_>,
    carried: Option<&Carried>,
    config: &Config,
    memory: &Arc<Memory>,
    record: &mut Record,
    host: &H,
) -> Result<Option<Turn>, Error> {
    let name = match (request.session.take(), carried.and_then(|it| lock(it).clone())) {
        (None, None) => return Ok(None),
        (None, Some(id)) => SessionName::Id(id.into()),
        (Some(SessionName::Id(id)), Some(known)) if *id != *known => {
            return Err(another_session());
        }
        (Some(SessionName::New), Some(_)) => return Err(another_session()),
        (Some(name), _) => name,
    };
    let (store, _) = available(config, host)?;
    if let Some(last) = request.messages.prefill() {
        let message = format!("messages[{last}].role must be \"user\" in a session");
        return Err(Error::invalid(message));
    }
    let mut messages = String::new();
    request.messages.write(&mut messages);
    let most = config.sessions.max_bytes;
    if messages.len() > most {
        let message = format!("the messages of a turn must have {most} bytes at most in a session");
        return Err(Error::new(Code::PayloadTooLarge, message));
    }
    let messages = RawValue::from_string(messages).map_err(internal)?;
    let caller = record.caller.as_ref();
    let (place, may_create) = match &name {
        SessionName::New => (place::new(caller, host.random()), true),
        SessionName::Id(id) => (place::known(caller, id)?, caller.is_some()),
    };
    let lease = lease(request, config, host);
    let token = lease.token.clone();
    let begun = store.begin(&place, &lease, may_create, whole_milliseconds(host.now())).await;
    let turns = match begun.map_err(unavailable)? {
        Begun::Turns(turns) => turns,
        Begun::Busy => {
            let message = "another request runs in this session";
            return Err(Error::new(Code::SessionBusy, message).retry_after(SOON));
        }
        Begun::Unknown => return Err(no_such_session()),
    };
    let abandoned = Abandoned { place: place.clone(), token: token.clone() };
    match precede(request, &turns, &place, &messages, config, memory, host).await {
        Ok(preceded) => {
            let Preceded { position, keep_from, prefix, total, dropped, has_lost, held } = preceded;
            record.session_id = Some(place.id.clone());
            record.dropped_turns = (dropped > 0).then_some(dropped);
            if has_lost {
                record.removed.push(THINKING.to_owned());
            }
            // The name asks for the content of the reply.
            request.session = Some(name.into_owned());
            let carried = carried.cloned();
            Ok(Some(Turn {
                place,
                token,
                position,
                keep_from,
                prefix,
                messages,
                total,
                carried,
                held: Some(held),
            }))
        }
        Err(error) => {
            let _ = abandoned.send(host).await;
            Err(error)
        }
    }
}

struct Preceded {
    position: u64,
    keep_from: u64,
    prefix: Prefix,
    total: Option<(Usage, Option<u64>)>,
    dropped: u64,
    has_lost: bool,
    held: Held,
}

/// Waits for the memory of turns of so many bytes.
pub(super) async fn hold<H: Host>(
    bytes: usize,
    memory: &Arc<Memory>,
    host: &H,
) -> Result<Held, Error> {
    let held = memory.hold(weight(bytes), PATIENCE, host).await;
    held.map_err(|error| Error::unreadable(error, 0))
}

/// Puts as many of the earlier turns as fit in front of the messages of a request.
async fn precede<H: Host>(
    request: &mut Request<'_>,
    turns: &[StoredTurn],
    place: &SessionPlace,
    messages: &RawValue,
    config: &Config,
    memory: &Arc<Memory>,
    host: &H,
) -> Result<Preceded, Error> {
    let bytes = turns.iter().map(|turn| turn.sealed.len()).sum();
    // The rest of the request has its memory already.
    let held = hold(bytes, memory, host).await?;
    let mut opened = Vec::with_capacity(turns.len());
    for turn in turns {
        opened.push(open(turn, place, &config.sessions.keys, host).await?);
    }
    let earlier: Option<Vec<_>> = opened.iter().map(|json| Stored::parse(json)).collect();
    let earlier = earlier.ok_or_else(|| unreadable("it has another form"))?;
    let sizes: Vec<_> = earlier.iter().map(|turn| (turn.len(), turn.continues_tools())).collect();
    let most_bytes =
        config.sessions.max_bytes - messages.get().len().min(config.sessions.max_bytes);
    let dropped = keep_from(&sizes, config.sessions.max_turns - 1, most_bytes);
    let position = turns.last().map_or(0, |turn| turn.position + 1);
    let first = turns.get(dropped).map_or(position, |turn| turn.position);
    let prefix = prefix(request, first, config);
    let bound = is_for_one_model(request, config).then_some(&prefix);
    let (mut json, mut count, mut has_lost) = (String::new(), 0, false);
    for turn in earlier.iter().skip(dropped) {
        let (written, lost) = turn.write(bound, &mut json);
        count += written;
        has_lost |= lost;
    }
    request.messages.precede_by(json, count);
    Ok(Preceded {
        position,
        keep_from: first,
        prefix,
        total: earlier.last().map(|turn| (turn.total, turn.cost)),
        dropped: dropped as u64,
        has_lost,
        held,
    })
}

fn another_session() -> Error {
    Error::invalid("session must be the one that this WebSocket carries: open another WebSocket")
}

fn internal(error: serde_json::Error) -> Error {
    Error::new(Code::Internal, "Internal server error").because(error.to_string())
}

/// Makes a lease for the longest time that the request should take.
fn lease<H: Host>(request: &Request<'_>, config: &Config, host: &H) -> Lease {
    let writing = Duration::from_secs((request.max_tokens / TOKENS_A_SECOND).into());
    let time = (config.timeout + config.stall).saturating_add(writing).min(LONGEST_LEASE);
    let token = Identifier::random(host.random()).as_str().to_owned();
    Lease { token, expires: whole_milliseconds(host.now() + time) }
}

/// Rounds a time down.
pub(super) fn whole_milliseconds(time: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds(time))
}

/// Returns a time in milliseconds since the epoch.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the name of a model that callers may name, the same in every region.
fn model_name(id: &str, config: &Config) -> String {
    let mut endpoints = config.callable().chain(&config.fallbacks);
    let model = endpoints.find(|it| it.model_id == id).and_then(|it| it.model);
    model.map_or(id, |model| model.name).to_owned()
}

fn prefix(request: &Request<'_>, first: u64, config: &Config) -> Prefix {
    let named = config.find_model(request.model.as_deref());
    let endpoint = named.as_deref().unwrap_or(&config.endpoint);
    let system = request.system.as_deref().unwrap_or_default();
    let hash = Sha256::digest(system);
    let half = hash.first_chunk().copied().unwrap_or_default();
    let system = format!("{:032x}", u128::from_be_bytes(half));
    Prefix { model: model_name(&endpoint.model_id, config), system, first }
}

/// Reports whether a request is sent to one model, in whatever regions.
fn is_for_one_model(request: &Request<'_>, config: &Config) -> bool {
    let named = request.model.as_deref().and_then(|name| config.find_model(Some(name)));
    let is_default = named.is_none_or(|it| config.is_default(&it));
    !is_default || config.fallbacks.iter().all(|it| it.model == config.endpoint.model)
}

impl Turn {
    /// Adds the turn, whose reply has this content, a JSON array.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached, or another request has taken the session over. The turn is not remembered then.
    pub(crate) async fn commit<H: Host>(
        self,
        content: &str,
        record: &Record,
        config: &Config,
        host: &H,
    ) -> Result<(), Error> {
        let abandoned = Abandoned { place: self.place.clone(), token: self.token.clone() };
        let result = self.add(content, record, config, host).await;
        if result.is_err() {
            let _ = abandoned.send(host).await;
        }
        result
    }

    async fn add<H: Host>(
        self,
        content: &str,
        record: &Record,
        config: &Config,
        host: &H,
    ) -> Result<(), Error> {
        let Self { place, token, position, keep_from, prefix, messages, total, carried, .. } = self;
        let (store, ttl) = available(config, host)?;
        let now = whole_milliseconds(host.now());
        let model = record.model.as_deref().unwrap_or_default();
        let turn = Stored {
            model: model_name(model, config).into(),
            system: prefix.system.into(),
            first: prefix.first,
            messages: &messages,
            content: serde_json::from_str(content).map_err(internal)?,
            total: stored::add(total.map(|(tokens, _)| tokens), record.usage()),
            cost: match total {
                Some((_, before)) => before.zip(record.cost()).map(|(a, b)| a.saturating_add(b)),
                None => record.cost(),
            },
        };
        let json = turn.to_json();
        let turn = seal(&json, &place, position, &config.sessions.keys, host).await?;
        let turn = NewTurn { token, turn, keep_from, expires: now + ttl };
        if !store.commit(&place, &turn, now).await.map_err(unavailable)? {
            let message = "the session was deleted or taken over while the request ran";
            return Err(Error::new(Code::SessionBusy, message).retry_after(SOON));
        }
        if let Some(carried) = carried {
            lock(&carried).replace(place.id);
        }
        Ok(())
    }

    /// Gives back the memory of the earlier turns, which are sent.
    pub(crate) fn forget_earlier(&mut self) {
        self.held = None;
    }

    /// Gives the lease back without a turn.
    pub(crate) fn abandon(self) -> Abandoned {
        Abandoned { place: self.place, token: self.token }
    }
}
