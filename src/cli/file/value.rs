//! The values of a file as arguments of the command line.

use clap::{Arg, ArgAction};
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeString, DeValue};

/// The setting whose list may stand in the file itself, as the JSON that its flag takes.
const ICE_SERVERS: &str = "ice-servers";

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Where it begins, if that may be another line than that of its key.
    pub(super) offset: Option<usize>,
    /// What is right, without the value.
    pub(super) text: String,
}

/// As which arguments the flag `--key` would say `value`, each with the place where its text begins.
///
/// # Errors
/// When the flag takes no such value.
pub(super) fn arguments(arg: &Arg, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<(usize, String)>, Wrong> {
    let argument = |value: &Spanned<DeValue<'_>>, right| {
        let text = text(value.get_ref()).ok_or_else(|| wrong(value, right))?;
        Ok((value.span().start, format!("--{key}={text}")))
    };
    match (arg.get_action(), value.get_ref()) {
        (ArgAction::SetTrue, DeValue::Boolean(true)) => Ok(vec![(value.span().start, format!("--{key}"))]),
        (ArgAction::SetTrue, DeValue::Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => Err(wrong(value, "true or false")),
        (ArgAction::Append, DeValue::Array(values)) => {
            if values.is_empty() && !arg.get_default_values().is_empty() {
                return Err(Wrong { offset: Some(value.span().start), text: "it needs one value at least".to_owned() });
            }
            values.iter().map(|value| argument(value, "a text or a whole number")).collect()
        }
        (ArgAction::Append, _) => Ok(vec![argument(value, "a text, a whole number, or a list of these")?]),
        (_, DeValue::Array(servers)) if key == ICE_SERVERS => {
            Ok(vec![(value.span().start, format!("--{key}={}", json_list(servers)?))])
        }
        _ if key == ICE_SERVERS => Ok(vec![argument(value, "the path of a file, or a list of servers")?]),
        _ => Ok(vec![argument(value, "a text or a whole number")?]),
    }
}

/// The text that an argument would be.
fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        // Other numbers are in another notation than flags have: `--unix-mode 660` is octal already.
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    }
}

fn wrong(value: &Spanned<DeValue<'_>>, right: &str) -> Wrong {
    let what = match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(number) if number.radix() == 10 => "a number",
        DeValue::Integer(_) => "a number that is not decimal",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Wrong { offset: Some(value.span().start), text: format!("it must be {right}, and is {what}") }
}

fn json_list(values: &DeArray<'_>) -> Result<Value, Wrong> {
    values.iter().map(json).collect::<Result<_, _>>().map(Value::Array)
}

/// The same in JSON. The parser of TOML allows no depth that could exhaust the stack.
fn json(value: &Spanned<DeValue<'_>>) -> Result<Value, Wrong> {
    let refused = || wrong(value, "a text, a whole number, true or false, a list or a table");
    match value.get_ref() {
        DeValue::String(text) => Ok(Value::String(text.to_string())),
        DeValue::Integer(number) => Ok(Value::Number(json_number(number).ok_or_else(refused)?)),
        DeValue::Boolean(is_true) => Ok(Value::Bool(*is_true)),
        DeValue::Array(values) => json_list(values),
        DeValue::Table(table) => {
            let pair = |(name, value): (&Spanned<DeString<'_>>, _)| Ok((name.get_ref().to_string(), json(value)?));
            table.iter().map(pair).collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        DeValue::Float(_) | DeValue::Datetime(_) => Err(refused()),
    }
}

fn json_number(number: &DeInteger<'_>) -> Option<Number> {
    i64::from_str_radix(number.as_str(), number.radix()).ok().map(Number::from)
}
