//! The tools, and the choice of one.

use serde_json::value::RawValue;

use super::conversion::{Conversion, at, comma, invalid, missing, object, put};
use crate::claude::{Feature, part};
use crate::error::Error;
use crate::json::{Members, string, to_json};

/// The members of a schema's top level that Nova takes.
///
/// <https://docs.aws.amazon.com/nova/latest/userguide/tool-use-definition.html>
const SCHEMA_OF_NOVA: [&str; 3] = ["type", "properties", "required"];

impl<'a> Conversion<'a, '_> {
    /// Writes the tools and the choice. Returns whether there are any.
    pub(super) fn tools(&mut self, has_blocks: bool, out: &mut String) -> Result<bool, Error> {
        let tools: Vec<&RawValue> = match self.member("tools") {
            Some(json) => part("tools", json, "a valid list of objects")?,
            None => Vec::new(),
        };
        let choice = self.object("tool_choice")?;
        let kind = choice.get("type").map_or("", RawValue::get);
        if has_blocks && tools.is_empty() {
            return Err(invalid("tools", "Field required, because the messages have tool blocks"));
        }
        if kind == r#""none""# {
            if has_blocks {
                let problem = "Converse takes the tools of messages with tool blocks, and cannot \
                               forbid to use them: send \"auto\"";
                return Err(invalid("tool_choice.type", problem));
            }
            return Ok(false);
        }
        if tools.is_empty() {
            return Ok(false);
        }
        out.push_str(r#","toolConfig":{"tools":["#);
        for (index, tool) in tools.into_iter().enumerate() {
            self.tool(&at("tools", ".", &index.to_string()), tool, out)?;
        }
        out.push(']');
        if self.member("tool_choice").is_some() {
            self.choice(&choice, kind, out)?;
        }
        out.push('}');
        Ok(true)
    }

    fn tool(&mut self, place: &str, json: &'a RawValue, out: &mut String) -> Result<(), Error> {
        let (mut name, mut description, mut schema, mut cache) = (None, None, None, None);
        let Members(members) = object(place, json)?;
        for (member, value) in members {
            match &*member {
                "name" => name = string(value),
                "description" => description = Some(value),
                "input_schema" => schema = Some(value),
                "cache_control" => cache = Some(value),
                "type" if value.get() != r#""custom""# => {
                    let problem = "only Claude has this tool: send custom ones";
                    return Err(invalid(&at(place, ".", "type"), problem));
                }
                "type" => {}
                _ if matches!(value.get(), "null" | "false") => {}
                _ => self.tell(at(place, ".", &member)),
            }
        }
        let name = name.ok_or_else(|| missing(place, "name"))?;
        let schema = schema.ok_or_else(|| missing(place, "input_schema"))?;
        comma(out);
        put(out, &[r#"{"toolSpec":{"name":"#, &to_json(&self.names.shorten(&name))]);
        let is_text = |json: &&RawValue| string(json).is_some_and(|text| !text.trim().is_empty());
        if let Some(description) = description.filter(is_text) {
            put(out, &[r#","description":"#, description.get()]);
        }
        *out += r#","inputSchema":{"json":"#;
        self.schema(&at(place, ".", "input_schema"), schema, out)?;
        *out += "}}}";
        // Nova has it for messages and the system prompt.
        let is_possible = !self.is_made_by("amazon.");
        self.cache_point(place, cache, is_possible, out);
        Ok(())
    }

    fn schema(&mut self, place: &str, json: &RawValue, out: &mut String) -> Result<(), Error> {
        let Members(members) = object(place, json)?;
        if !self.is_made_by("amazon.nova") {
            *out += json.get();
            return Ok(());
        }
        out.push('{');
        for (name, value) in members {
            if !SCHEMA_OF_NOVA.contains(&&*name) {
                self.tell(at(place, ".", &name));
                continue;
            }
            comma(out);
            put(out, &[&to_json(&name), ":", value.get()]);
        }
        out.push('}');
        Ok(())
    }

    fn choice(&mut self, choice: &Members<'_>, kind: &str, out: &mut String) -> Result<(), Error> {
        if choice.get("disable_parallel_tool_use").is_some_and(|it| it.get() == "true") {
            self.tell("tool_choice.disable_parallel_tool_use");
        }
        match kind {
            // What Converse does by default, and what not every model takes by name.
            r#""auto""# => {}
            r#""any""# => out.push_str(r#","toolChoice":{"any":{}}"#),
            r#""tool""# => {
                self.check("tool_choice.type", Feature::NamedToolChoice, "the name of one tool")?;
                let name = choice.get("name").and_then(string);
                let name = name.ok_or_else(|| missing("tool_choice", "name"))?;
                let name = to_json(&self.names.shorten(&name));
                put(out, &[r#","toolChoice":{"tool":{"name":"#, &name, "}}"]);
            }
            _ => {
                let problem = "Input should be 'auto', 'any', 'tool' or 'none'";
                return Err(invalid("tool_choice.type", problem));
            }
        }
        Ok(())
    }
}
