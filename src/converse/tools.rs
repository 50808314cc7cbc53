//! The tools, and the choice of one.

use serde_json::value::RawValue;

use super::conversion::{Conversion, put, put_next};
use crate::claude::Feature;
use crate::json::{Members, quoted, string};

/// The members of a schema's top level that Nova takes (zed #28521).
///
/// <https://docs.aws.amazon.com/nova/latest/userguide/tool-use-definition.html>
const SCHEMA_OF_NOVA: [&str; 3] = ["type", "properties", "required"];

impl<'a> Conversion<'a, '_> {
    /// Writes the tools and the choice. Returns whether there are any.
    pub(super) fn tools(&mut self, has_blocks: bool, out: &mut String) -> bool {
        let tools = match self.member("tools") {
            Some(json) => self.list(&["tools"], json),
            None => Vec::new(),
        };
        let choice = self.member_object("tool_choice");
        let kind = choice.get("type").map_or(r#""auto""#, RawValue::get);
        if has_blocks && tools.is_empty() {
            self.invalid(&["tools"], &["Field required, because the messages have tool blocks"]);
        }
        if kind == r#""none""# {
            if has_blocks {
                let problem = "Converse takes the tools of messages with tool blocks, and cannot forbid to use them: \
                               send \"auto\"";
                self.invalid(&["tool_choice.type"], &[problem]);
            }
            return false;
        }
        if tools.is_empty() {
            return false;
        }
        out.push_str(r#","toolConfig":{"tools":["#);
        for (index, tool) in tools.into_iter().enumerate() {
            self.tool(&["tools.", &index.to_string()].concat(), tool, out);
        }
        out.push(']');
        self.choice(&choice, kind, out);
        out.push('}');
        true
    }

    fn tool(&mut self, place: &str, json: &'a RawValue, out: &mut String) {
        let tool = self.object(&[place], json);
        for (member, value) in &tool.0 {
            match (&**member, value.get()) {
                ("name" | "description" | "input_schema" | "cache_control", _)
                | ("type", r#""custom""#)
                | (_, "null" | "false") => {}
                ("type", _) => {
                    let problem = "only Claude has this tool: send custom ones";
                    self.invalid(&[place, ".type"], &[problem]);
                }
                (member, _) => self.tell(&[place, ".", member]),
            }
        }
        let name = tool.get("name").and_then(string);
        if name.is_none() {
            self.missing(&[place, ".name"]);
        }
        let name = quoted(&self.names.shorten(&name.unwrap_or_default()));
        put_next(out, &[r#"{"toolSpec":{"name":"#, &name]);
        let is_text = |json: &&RawValue| string(json).is_some_and(|text| !text.trim().is_empty());
        if let Some(description) = tool.get("description").filter(is_text) {
            put(out, &[r#","description":"#, description.get()]);
        }
        out.push_str(r#","inputSchema":{"json":"#);
        match tool.get("input_schema") {
            None => self.missing(&[place, ".input_schema"]),
            Some(schema) if self.is_made_by("amazon.nova") => self.schema(place, schema, out),
            Some(schema) => out.push_str(schema.get()),
        }
        out.push_str("}}}");
        // Nova has it for messages and the system prompt.
        let is_possible = !self.is_made_by("amazon.");
        self.cache_point(place, tool.get("cache_control"), is_possible, out);
    }

    /// Writes a schema for Nova.
    fn schema(&mut self, place: &str, json: &'a RawValue, out: &mut String) {
        out.push('{');
        for (name, value) in self.object(&[place, ".input_schema"], json).0 {
            if SCHEMA_OF_NOVA.contains(&&*name) {
                put_next(out, &["\"", &name, "\":", value.get()]);
            } else {
                self.tell(&[place, ".input_schema.", &name]);
            }
        }
        out.push('}');
    }

    fn choice(&mut self, choice: &Members<'_>, kind: &str, out: &mut String) {
        if choice.get("disable_parallel_tool_use").is_some_and(|it| it.get() == "true") {
            self.tell(&["tool_choice.disable_parallel_tool_use"]);
        }
        match kind {
            // Converse does so by default, and not every model takes the name.
            r#""auto""# => {}
            r#""any""# => out.push_str(r#","toolChoice":{"any":{}}"#),
            r#""tool""# => {
                self.check(&["tool_choice.type"], Feature::NamedToolChoice, "the name of one tool");
                let name = choice.get("name").and_then(string);
                if name.is_none() {
                    self.missing(&["tool_choice.name"]);
                }
                let name = quoted(&self.names.shorten(&name.unwrap_or_default()));
                put(out, &[r#","toolChoice":{"tool":{"name":"#, &name, "}}"]);
            }
            _ => {
                let problem = "Input should be 'auto', 'any', 'tool' or 'none'";
                self.invalid(&["tool_choice.type"], &[problem]);
            }
        }
    }
}
