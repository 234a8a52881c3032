//! A command with its templates parsed, and filled in for a run.

use leasehold_common::command::{CommandSpec, Resources};
use leasehold_common::template::{Escape, Template};

use crate::handler::{HandlerError, RunContext};

/// What a job with `command` starts.
#[derive(Debug)]
pub(crate) struct CommandCall {
    argv: Vec<Template>,
    env: Vec<(String, Template)>,
    cwd: Option<Template>,
    spec: CommandSpec,
}

/// The same for one run.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: Option<String>,
}

impl CommandCall {
    /// Parses the templates; an error names the one that is wrong.
    pub(crate) fn compile(spec: &CommandSpec) -> Result<Self, String> {
        let parse = |what: &str, text: &str| Template::parse(text).map_err(|error| format!("{what} {text:?}: {error}"));
        let variable = |(name, text): (&String, &String)| Ok((name.clone(), parse(name, text)?));
        Ok(Self {
            argv: spec.argv.iter().map(|part| parse("argument", part)).collect::<Result<_, _>>()?,
            env: spec.env.iter().map(variable).collect::<Result<_, String>>()?,
            cwd: spec.cwd.as_deref().map(|text| parse("cwd", text)).transpose()?,
            spec: spec.clone(),
        })
    }

    pub(super) fn order(&self, context: &RunContext) -> Result<Order, HandlerError> {
        let render = |template: &Template| template.render(&context.scope(), Escape::None);
        let mut argv = self.argv.iter();
        let program = argv.next().ok_or_else(|| HandlerError::permanent("the command has no program"))?;
        Ok(Order {
            program: render(program)?,
            arguments: argv.map(render).collect::<Result<_, _>>()?,
            env: self
                .env
                .iter()
                .map(|(name, template)| Ok((name.clone(), render(template)?)))
                .collect::<Result<_, HandlerError>>()?,
            cwd: self.cwd.as_ref().map(render).transpose()?,
        })
    }

    pub(super) fn resources(&self) -> &Resources {
        &self.spec.resources
    }

    pub(super) fn is_permanent(&self, code: u8) -> bool {
        self.spec.is_permanent(code)
    }
}
