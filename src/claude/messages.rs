//! The messages of a request: one prompt, or a conversation.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::error::Error;
use crate::json::{Members, non_blank_text, write_string};

/// The messages of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Messages<'a> {
    /// One message of the user.
    Prompt(Cow<'a, str>),
    /// Several messages of the user and the assistant.
    Conversation(Conversation<'a>),
}

/// A conversation in the caller's own JSON, which goes to Bedrock byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation<'a> {
    json: Cow<'a, str>,
    /// The messages before `json`, separated by commas.
    earlier: String,
    messages: usize,
    texts: Vec<Cow<'a, str>>,
    /// The position of the user's last text in `texts`.
    prompt: usize,
    ends_with_assistant: bool,
}

impl<'a> Messages<'a> {
    /// Reads a conversation: a JSON array of `{"role": "user" | "assistant", "content": string or text blocks}`, of
    /// which the first is the user's.
    ///
    /// ```
    /// use bedrock_edge::{Messages, Request};
    ///
    /// let messages = Messages::from_json(
    ///     r#"[{"role": "user", "content": "Name a poet."},
    ///         {"role": "assistant", "content": "Bashō."},
    ///         {"role": "user", "content": "Another one."}]"#,
    /// )?;
    /// assert_eq!(Request::from_messages(messages, 100).prompt(), "Another one.");
    /// # Ok::<(), bedrock_edge::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`](crate::Code::InvalidRequest), with a message that names the place, such as
    /// `messages[2].content`.
    pub fn from_json(json: &'a str) -> Result<Self, Error> {
        let json = serde_json::from_str(json)
            .map_err(|error| Error::invalid(format!("messages are not JSON: {error}")))?;
        Self::parse(json).map_err(Error::invalid)
    }

    /// Reads the member `messages` of a body.
    ///
    /// # Errors
    ///
    /// A message for the caller that names the place, such as `messages[2].content`.
    pub(crate) fn parse(json: &'a RawValue) -> Result<Self, String> {
        let Ok(messages) = serde_json::from_str::<Vec<&RawValue>>(json.get()) else {
            return Err("messages must be an array of messages".to_owned());
        };
        let mut conversation = Conversation {
            json: Cow::Borrowed(json.get()),
            earlier: String::new(),
            messages: messages.len(),
            texts: Vec::new(),
            prompt: 0,
            ends_with_assistant: false,
        };
        for (index, message) in messages.iter().enumerate() {
            conversation.add(&format!("messages[{index}]"), message)?;
        }
        if messages.is_empty() {
            return Err(
                "messages must not be empty: expected a user's message as messages[0]".to_owned()
            );
        }
        Ok(Self::Conversation(conversation))
    }

    /// Returns the user's last text, which is the `input_prompt` of the response.
    pub fn prompt(&self) -> &str {
        match self {
            Self::Prompt(prompt) => prompt,
            Self::Conversation(it) => it.texts.get(it.prompt).map_or("", |text| text),
        }
    }

    /// Returns every text of every message. Of a session's earlier messages it is their JSON.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let texts = match self {
            Self::Prompt(prompt) => std::slice::from_ref(prompt),
            Self::Conversation(it) => &it.texts,
        };
        let earlier = match self {
            Self::Conversation(it) if !it.earlier.is_empty() => Some(&*it.earlier),
            _ => None,
        };
        texts.iter().map(|text| &**text).chain(earlier)
    }

    /// Returns the number of messages.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Prompt(_) => 1,
            Self::Conversation(it) => it.messages,
        }
    }

    /// Returns the index of the last message if it is the assistant's: a prefill, with which the reply begins.
    pub(crate) fn prefill(&self) -> Option<usize> {
        match self {
            Self::Conversation(it) if it.ends_with_assistant => Some(it.messages - 1),
            _ => None,
        }
    }

    /// Appends the messages as a JSON array.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Prompt(prompt) => {
                out.push_str(r#"[{"role":"user","content":"#);
                write_string(out, prompt);
                out.push_str("}]");
            }
            Self::Conversation(it) if it.earlier.is_empty() => out.push_str(&it.json),
            Self::Conversation(it) => {
                out.extend(["[", &it.earlier, ","]);
                out.push_str(it.json.strip_prefix('[').unwrap_or(&it.json));
            }
        }
    }

    /// Puts the messages of a session in front, written in JSON and separated by commas. They end with the assistant's.
    pub(crate) fn precede_by(&mut self, earlier: String, count: usize) {
        if count == 0 {
            return;
        }
        if let Self::Prompt(prompt) = self {
            let prompt = std::mem::take(prompt);
            let mut json = String::new();
            Messages::Prompt(Cow::Borrowed(&prompt)).write(&mut json);
            *self = Self::Conversation(Conversation {
                json: Cow::Owned(json),
                earlier: String::new(),
                messages: 1,
                texts: vec![prompt],
                prompt: 0,
                ends_with_assistant: false,
            });
        }
        if let Self::Conversation(it) = self {
            it.earlier = earlier;
            it.messages += count;
        }
    }

    /// Drops the messages of a session in front, which are sent.
    pub(crate) fn forget_earlier(&mut self) {
        if let Self::Conversation(it) = self {
            it.earlier = String::new();
        }
    }

    /// Copies what is borrowed.
    pub(crate) fn into_owned(self) -> Messages<'static> {
        match self {
            Self::Prompt(prompt) => Messages::Prompt(Cow::Owned(prompt.into_owned())),
            Self::Conversation(it) => Messages::Conversation(Conversation {
                json: Cow::Owned(it.json.into_owned()),
                earlier: it.earlier,
                messages: it.messages,
                texts: it.texts.into_iter().map(|text| Cow::Owned(text.into_owned())).collect(),
                prompt: it.prompt,
                ends_with_assistant: it.ends_with_assistant,
            }),
        }
    }
}

impl<'a> Conversation<'a> {
    /// Checks a message and takes over its texts.
    fn add(&mut self, place: &str, message: &'a RawValue) -> Result<(), String> {
        let Object { members: [role, content], unknown } =
            Object::parse(place, message, ["role", "content"])?;
        let is_user = match role.map(RawValue::get) {
            Some(r#""user""#) => true,
            Some(r#""assistant""#) if self.texts.is_empty() => {
                return Err(format!(
                    "{place}.role must be \"user\": a conversation begins with the user"
                ));
            }
            Some(r#""assistant""#) => false,
            _ => return Err(format!("{place}.role must be \"user\" or \"assistant\"")),
        };
        let place = format!("{place}.content");
        let content = content.ok_or_else(|| format!("{place} is missing"))?;
        match content.get().as_bytes().first() {
            Some(b'"') => self.texts.push(non_blank_text(&place, content)?),
            Some(b'[') => self.add_blocks(&place, content)?,
            _ => return Err(format!("{place} must be a string or an array of text blocks")),
        }
        unknown?;
        if is_user {
            self.prompt = self.texts.len() - 1;
        }
        self.ends_with_assistant = !is_user;
        Ok(())
    }

    fn add_blocks(&mut self, place: &str, content: &'a RawValue) -> Result<(), String> {
        let blocks: Vec<&RawValue> = serde_json::from_str(content.get())
            .map_err(|_| format!("{place} must be a string or an array of text blocks"))?;
        if blocks.is_empty() {
            return Err(format!("{place} must not be empty"));
        }
        for (index, block) in blocks.into_iter().enumerate() {
            let place = format!("{place}[{index}]");
            let Object { members: [kind, text], unknown } =
                Object::parse(&place, block, ["type", "text"])?;
            if kind.map(RawValue::get) != Some(r#""text""#) {
                return Err(format!("{place}.type must be \"text\""));
            }
            let text = text.ok_or_else(|| format!("{place}.text is missing"))?;
            self.texts.push(non_blank_text(format_args!("{place}.text"), text)?);
            unknown?;
        }
        Ok(())
    }
}

/// An object that should have two members.
struct Object<'a> {
    members: [Option<&'a RawValue>; 2],
    /// Whether there are no others. It is checked last: a wrong `type` explains an unknown member.
    unknown: Result<(), String>,
}

impl<'a> Object<'a> {
    fn parse(place: &str, json: &'a RawValue, names: [&str; 2]) -> Result<Self, String> {
        let Ok(Members(members)) = serde_json::from_str(json.get()) else {
            return Err(format!("{place} must be an object"));
        };
        let mut object = Self { members: [None; 2], unknown: Ok(()) };
        for (name, value) in members {
            let at = names.iter().position(|it| *it == name);
            let Some(member) = at.and_then(|at| object.members.get_mut(at)) else {
                let name: String = name.chars().take(64).collect();
                let [first, second] = names;
                object.unknown = Err(format!(
                    "{place} has the member {name:?}: expected {first} and {second} only"
                ));
                continue;
            };
            // Parsers differ in which of two members counts.
            if member.replace(value).is_some() {
                return Err(format!("{place}.{name} is there twice"));
            }
        }
        Ok(object)
    }
}
