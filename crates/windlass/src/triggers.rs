//! The verbs of triggers.

use std::process::ExitCode;

use cli::function::{
    files, server,
    trigger::{self, CronjobWish, Fields, HttpWish, Kind},
};
use k8s::ObjectKey;

use crate::{
    args::{
        CronjobArgs, CronjobCommand, DryRunArgs, HttpArgs, HttpCommand, ReachedArgs, TopicArgs,
        TopicCommand, TriggerCommand,
    },
    commands::{NotSupported, print},
    function::{FunctionsError, connect, end, key, missing, object},
};

pub(crate) async fn run(command: TriggerCommand) -> ExitCode {
    end(match command {
        TriggerCommand::Http(command) => http(command).await,
        TriggerCommand::Cronjob(command) => cronjob(command).await,
        TriggerCommand::Kafka(command) => topic(Kind::Kafka, command).await,
        TriggerCommand::Nats(command) => topic(Kind::Nats, command).await,
    })
}

async fn http(command: HttpCommand) -> Result<ExitCode, FunctionsError> {
    let kind = Kind::Http;
    match command {
        HttpCommand::Create(mut args) => {
            let function = args.function_name.clone().ok_or(missing("--function-name"))?;
            args.gateway.get_or_insert_with(|| "nginx".to_owned());
            let made = Made { kind, name: &args.name, dry: &args.dry, reach: &args.reach };
            made.create(http_fields(&args), Some(&function)).await
        }
        HttpCommand::Update(args) => {
            let made = Made { kind, name: &args.name, dry: &args.dry, reach: &args.reach };
            made.update(http_fields(&args), args.function_name.as_deref()).await
        }
        HttpCommand::List(args) => list(kind, &args.reach).await,
        HttpCommand::Delete(args) => delete(kind, &args.name, &args.reach).await,
    }
}

fn http_fields(args: &HttpArgs) -> Fields {
    let args = args.clone();
    let wish = HttpWish {
        function: args.function_name,
        hostname: args.hostname,
        path: args.path,
        gateway: args.gateway,
        tls_secret: args.tls_secret,
        tls_acme: args.tls_acme,
        basic_auth_secret: args.basic_auth_secret,
        cors: args.cors_enable,
    };
    wish.fields()
}

async fn cronjob(command: CronjobCommand) -> Result<ExitCode, FunctionsError> {
    let kind = Kind::Cronjob;
    match command {
        CronjobCommand::Create(args) => {
            let function = args.function.clone().ok_or(missing("--function"))?;
            if args.schedule.is_none() {
                return Err(missing("--schedule"));
            }
            let fields = cronjob_fields(&args).await?;
            let made = Made { kind, name: &args.name, dry: &args.dry, reach: &args.reach };
            made.create(fields, Some(&function)).await
        }
        CronjobCommand::Update(args) => {
            let fields = cronjob_fields(&args).await?;
            let made = Made { kind, name: &args.name, dry: &args.dry, reach: &args.reach };
            made.update(fields, args.function.as_deref()).await
        }
        CronjobCommand::List(args) => list(kind, &args.reach).await,
        CronjobCommand::Delete(args) => delete(kind, &args.name, &args.reach).await,
    }
}

async fn cronjob_fields(args: &CronjobArgs) -> Result<Fields, FunctionsError> {
    let payload = match (&args.payload, &args.payload_from_file) {
        (Some(text), _) => Some(trigger::payload(text)?),
        (None, Some(file)) => {
            let name = file.display().to_string();
            Some(trigger::payload_of_file(&name, &files::text(&name).await?)?)
        }
        (None, None) => None,
    };
    let (function, schedule) = (args.function.clone(), args.schedule.clone());
    Ok(CronjobWish { function, schedule, payload }.fields())
}

async fn topic(kind: Kind, command: TopicCommand) -> Result<ExitCode, FunctionsError> {
    let fields = |args: &TopicArgs| {
        trigger::topic_fields(args.trigger_topic.as_deref(), args.function_selector.as_deref())
    };
    match command {
        TopicCommand::Create(args) => {
            for (flag, is_given) in [
                ("--trigger-topic", args.trigger_topic.is_some()),
                ("--function-selector", args.function_selector.is_some()),
            ] {
                if !is_given {
                    return Err(missing(flag));
                }
            }
            let made = Made { kind, name: &args.name, dry: &args.dry, reach: &args.reach };
            let fields = fields(&args)?;
            check_served(kind, &args.dry)?;
            made.create(fields, None).await
        }
        TopicCommand::Update(args) => {
            let made = Made { kind, name: &args.name, dry: &args.dry, reach: &args.reach };
            let fields = fields(&args)?;
            check_served(kind, &args.dry)?;
            made.update(fields, None).await
        }
        TopicCommand::List(args) => list(kind, &args.reach).await,
        TopicCommand::Delete(args) => delete(kind, &args.name, &args.reach).await,
    }
}

/// Refuses triggers by which nothing would ever be called; to print one for another cluster is fine.
fn check_served(kind: Kind, dry: &DryRunArgs) -> Result<(), FunctionsError> {
    match kind {
        Kind::Kafka if !dry.dryrun => Err(NotSupported("a trigger by messages of Kafka").into()),
        Kind::Nats if !dry.dryrun => Err(NotSupported("a trigger by messages of NATS").into()),
        Kind::Http | Kind::Cronjob | Kind::Kafka | Kind::Nats => Ok(()),
    }
}

/// A trigger that is created or changed.
struct Made<'a> {
    kind: Kind,
    name: &'a str,
    dry: &'a DryRunArgs,
    reach: &'a ReachedArgs,
}

impl Made<'_> {
    async fn create(
        &self,
        fields: Fields,
        function: Option<&str>,
    ) -> Result<ExitCode, FunctionsError> {
        let (resource, key) = (self.kind.resource(), key(self.reach, self.name));
        let made = trigger::create(self.kind, &key, fields);
        if self.dry.dryrun {
            return Ok(print(&object(&made, self.dry.output)));
        }
        let client = connect(self.reach, true).await?;
        if let Some(function) = function {
            let function = ObjectKey::new(&key.namespace, function);
            server::get(&client, &api::function::resource(), &function).await?;
        }
        server::create(&client, &resource, &key, &made).await?;
        Ok(print(&format!("created  {} {key}\n", resource.gvk.kind)))
    }

    async fn update(
        &self,
        fields: Fields,
        function: Option<&str>,
    ) -> Result<ExitCode, FunctionsError> {
        let (resource, key) = (self.kind.resource(), key(self.reach, self.name));
        let client = connect(self.reach, !self.dry.dryrun).await?;
        if let Some(function) = function {
            let function = ObjectKey::new(&key.namespace, function);
            server::get(&client, &api::function::resource(), &function).await?;
        }
        let edit = |value: &mut _| trigger::update(value, fields.clone());
        if self.dry.dryrun {
            let mut there = server::get(&client, &resource, &key).await?;
            edit(&mut there);
            return Ok(print(&object(&there, self.dry.output)));
        }
        server::change(&client, &resource, &key, edit).await?;
        Ok(print(&format!("updated  {} {key}\n", resource.gvk.kind)))
    }
}

async fn list(kind: Kind, reach: &ReachedArgs) -> Result<ExitCode, FunctionsError> {
    let client = connect(reach, false).await?;
    let triggers = server::list(&client, &kind.resource(), &key(reach, "").namespace).await?;
    Ok(print(&trigger::table(kind, &triggers)))
}

async fn delete(kind: Kind, name: &str, reach: &ReachedArgs) -> Result<ExitCode, FunctionsError> {
    let (resource, key) = (kind.resource(), key(reach, name));
    let client = connect(reach, true).await?;
    server::delete(&client, &resource, &key).await?;
    Ok(print(&format!("deleted  {} {key}\n", resource.gvk.kind)))
}
