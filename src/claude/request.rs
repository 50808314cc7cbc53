//! The inner request: what every interface parses a body into.

use std::borrow::Cow;

use super::messages::Messages;
use super::translation::Translated;

/// A request to the model. It borrows from the body that it was parsed from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The prompt or the conversation.
    pub messages: Messages<'a>,
    /// The most tokens that may be generated.
    pub max_tokens: u32,
    /// The caller's temperature, from 0 to 1. `None`: the configured one, if the model takes it.
    pub temperature: Option<f64>,
    /// The system prompt.
    pub system: Option<Cow<'a, str>>,
    /// Texts that end the reply.
    pub stop_sequences: Vec<Cow<'a, str>>,
    /// An id or a name of a configured model. `None`: `BEDROCK_MODEL_ID`.
    pub model: Option<Cow<'a, str>>,
    /// Whether the caller asked for a stream, or for a whole reply.
    pub stream: Option<bool>,
    /// The body of InvokeModel, if the interface passes the caller's JSON on: it stands for the messages, the temperature,
    /// the system prompt and the stop sequences.
    pub(crate) translated: Option<Translated>,
    /// The session that it belongs to.
    pub(crate) session: Option<SessionName<'a>>,
}

/// The session that a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionName<'a> {
    /// One that begins with this request.
    New,
    /// The one with this id.
    Id(Cow<'a, str>),
}

impl SessionName<'_> {
    /// Copies what is borrowed.
    pub(crate) fn into_owned(self) -> SessionName<'static> {
        match self {
            Self::New => SessionName::New,
            Self::Id(id) => SessionName::Id(Cow::Owned(id.into_owned())),
        }
    }
}

impl<'a> Request<'a> {
    /// Makes a request with a prompt that is not blank.
    ///
    /// ```
    /// use bedrock_edge::Request;
    ///
    /// let mut request = Request::new("Write a haiku about rain.", 100);
    /// request.system = Some("You are Bashō.".into());
    /// assert_eq!(request.prompt(), "Write a haiku about rain.");
    /// ```
    pub fn new(prompt: impl Into<Cow<'a, str>>, max_tokens: u32) -> Self {
        Self::from_messages(Messages::Prompt(prompt.into()), max_tokens)
    }

    /// Makes a request with a conversation.
    pub fn from_messages(messages: Messages<'a>, max_tokens: u32) -> Self {
        Self {
            messages,
            max_tokens,
            temperature: None,
            system: None,
            stop_sequences: Vec::new(),
            model: None,
            stream: None,
            translated: None,
            session: None,
        }
    }

    /// Makes a request with a body that is translated already, for a model that the caller names.
    pub(crate) fn from_translated(
        translated: Translated,
        model: Cow<'a, str>,
        stream: bool,
    ) -> Self {
        Self {
            model: Some(model),
            stream: Some(stream),
            max_tokens: translated.max_tokens,
            translated: Some(translated),
            ..Self::new("", 0)
        }
    }

    /// Returns the user's last text.
    pub fn prompt(&self) -> &str {
        self.messages.prompt()
    }

    /// Returns every text in the request. Their length bounds the price of the input.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let stop_sequences = self.stop_sequences.iter().map(|text| &**text);
        self.messages.texts().chain(self.system.as_deref()).chain(stop_sequences)
    }

    /// Copies what is borrowed from the body.
    pub fn into_owned(self) -> Request<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Request {
            messages: self.messages.into_owned(),
            system: self.system.map(owned),
            stop_sequences: self.stop_sequences.into_iter().map(owned).collect(),
            model: self.model.map(owned),
            session: self.session.map(SessionName::into_owned),
            ..self
        }
    }
}
