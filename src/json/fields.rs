//! Objects by the names of their members, which stay raw: one reader for all of them, where each derived `Deserialize`
//! would be 1 to 2 KiB of the upload.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

/// Reads an object in one pass. A member that is missing or `null` is `None`.
///
/// # Errors
///
/// If it is not an object, or has a member with one of the names twice.
pub(crate) fn fields<'a, const N: usize>(
    json: &'a str,
    names: [&str; N],
) -> serde_json::Result<[Option<&'a RawValue>; N]> {
    let mut values = [None; N];
    let mut reader = serde_json::Deserializer::from_str(json);
    Object { names: &names, values: &mut values }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(values)
}

/// Reads an array of objects in one pass, each like [`fields`].
///
/// # Errors
///
/// If it is not an array of such objects.
pub(crate) fn fields_of_all<'a, const N: usize>(
    json: &'a str,
    names: [&str; N],
) -> serde_json::Result<Vec<[Option<&'a RawValue>; N]>> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let values = Objects(&names).deserialize(&mut reader)?;
    reader.end()?;
    Ok(values.as_chunks().0.to_vec())
}

/// An object, whose values are to be put in the places of their names.
struct Object<'n, 'v, 'a> {
    names: &'n [&'n str],
    values: &'v mut [Option<&'a RawValue>],
}

impl<'a> DeserializeSeed<'a> for Object<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Object<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(place) = map.next_key_seed(Name(self.names))? {
            let Some(value) = place.and_then(|place| self.values.get_mut(place)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if value.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        for value in self.values {
            value.take_if(|json| json.get() == "null");
        }
        Ok(())
    }
}

/// A name of a member, to be found among these.
struct Name<'n>(&'n [&'n str]);

impl<'a> DeserializeSeed<'a> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

/// An array of objects, whose values are returned in one row.
struct Objects<'n>(&'n [&'n str]);

impl<'a> DeserializeSeed<'a> for Objects<'_> {
    type Value = Vec<Option<&'a RawValue>>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Objects<'_> {
    type Value = Vec<Option<&'a RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        loop {
            let before = all.len();
            all.resize(before + self.0.len(), None);
            let values = all.get_mut(before..).unwrap_or_default();
            if array.next_element_seed(Object { names: self.0, values })?.is_none() {
                all.truncate(before);
                return Ok(all);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_in_the_order_of_the_names() {
        let values = fields(r#"{"b": [1], "x": {"a": 3}, "a\u0062": "é"}"#, ["ab", "b", "c"]);
        assert_eq!(
            values.unwrap().map(|it| it.map(RawValue::get)),
            [Some("\"é\""), Some("[1]"), None]
        );
    }

    #[test]
    fn null_is_missing_and_a_name_twice_or_text_behind_is_an_error() {
        for (json, expected) in [
            (r#"{"a": null}"#, Some(None)),
            (r#"{"x": 1, "x": 2, "a": 1}"#, Some(Some("1"))),
            (r#"{"a": 1, "a": 1}"#, None),
            (r#"{"a": null, "a": 1}"#, None),
            (r#"{"a": 1} "#, Some(Some("1"))),
            (r#"{"a": 1} {}"#, None),
            ("[1]", None),
            ("null", None),
        ] {
            let value = fields(json, ["a"]).ok().map(|[value]| value.map(RawValue::get));
            assert_eq!(value, expected, "{json}");
        }
    }

    #[test]
    fn an_array_has_a_row_for_each_object() {
        let rows = fields_of_all(r#"[{"a": 1, "b": 2}, {}, {"b": 3}]"#, ["a", "b"]).unwrap();
        let rows: Vec<_> = rows.iter().map(|row| row.map(|it| it.map(RawValue::get))).collect();
        assert_eq!(rows, [[Some("1"), Some("2")], [None, None], [None, Some("3")]]);
        assert_eq!(fields_of_all("[]", ["a"]).unwrap().len(), 0);
        for json in ["{}", "[1]", "[{}, []]", r#"[{"a": 1, "a": 2}]"#, "[] []"] {
            assert!(fields_of_all(json, ["a"]).is_err(), "{json}");
        }
    }
}
