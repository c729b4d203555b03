//! What two users do in an encrypted room.

use anyhow::{Context, Result, ensure};
use matrix_sdk::{
    media::{MediaFormat, MediaRequestParameters},
    room::edit::EditedContent,
    ruma::{
        OwnedEventId,
        api::client::receipt::create_receipt::v3::ReceiptType,
        events::room::message::{MessageType, RoomMessageEventContentWithoutRelation},
    },
};
use matrix_sdk_ui::timeline::{AttachmentConfig, AttachmentSource};
use tokio::time::{Duration, timeout};

use crate::{
    chat::{Chat, body_of},
    patience::until_true,
};

pub type Said = (OwnedEventId, &'static str);

/// Three messages, each of which the other reads.
pub async fn talk(alice: &Chat, bob: &Chat) -> Result<Vec<Said>> {
    let mut said = vec![];
    for (from, to, body) in [
        (alice, bob, "Is the cellar locked?"),
        (bob, alice, "It is. The key hangs by the door."),
        (alice, bob, "Which door?"),
    ] {
        let event_id = from.say(body).await?;
        to.reads(&event_id, body).await?;
        said.push((event_id, body));
    }
    let (event_id, body) = &said[0];
    let stored = bob.room().event(event_id, None).await?;
    ensure!(stored.encryption_info().is_some(), "the server can read \"{body}\"");
    Ok(said)
}

/// Each says something that all can read.
pub async fn sing(chats: [&Chat; 3], words: [&str; 3]) -> Result<()> {
    for (chat, body) in chats.into_iter().zip(words) {
        let event_id = chat.say(body).await?;
        for reader in chats {
            reader.reads(&event_id, body).await?;
        }
    }
    Ok(())
}

pub async fn relate(alice: &Chat, bob: &Chat) -> Result<()> {
    let question = alice.say("The front door?").await?;
    bob.reads(&question, "The front door?").await?;

    let answer = RoomMessageEventContentWithoutRelation::text_plain("The back door.");
    bob.timeline.send_reply(answer, question.clone()).await?;
    let reply = alice.latest("The back door.", |_| true).await?;
    let replied_to = reply.content().in_reply_to().context("not a reply")?;
    ensure!(replied_to.event_id == question, "a reply to {}", replied_to.event_id);

    let own = alice.item(&question, "of Alice", |event| event.is_editable()).await?;
    let better = RoomMessageEventContentWithoutRelation::text_plain("Not the front door?");
    alice.timeline.edit(&own.identifier(), EditedContent::RoomMessage(better)).await?;
    bob.item(&question, "edited", |event| {
        let message = event.content().as_message();
        message.is_some_and(|message| message.is_edited() && message.body() == "Not the front door?")
    })
    .await?;

    let seen = bob.item(&question, "at Bob", |_| true).await?;
    for (count, what) in [(1, "with a reaction"), (0, "without")] {
        bob.timeline.toggle_reaction(&seen.identifier(), "👍").await?;
        let bob_id = bob.room().own_user_id();
        alice
            .item(&question, what, |event| {
                let reactions = event.content().reactions();
                let by = reactions.and_then(|reactions| reactions.get("👍"));
                by.map_or(0, |by| usize::from(by.contains_key(bob_id))) == count
            })
            .await?;
    }

    alice.timeline.redact(&own.identifier(), Some("answered")).await?;
    bob.item(&question, "redacted", |event| event.content().is_redacted()).await?;
    Ok(())
}

/// A file is encrypted by one, uploaded, downloaded and decrypted by the other.
pub async fn attach(alice: &Chat, bob: &Chat) -> Result<()> {
    let bytes = b"wine, apples, a bicycle".to_vec();
    let source = AttachmentSource::Data { bytes: bytes.clone(), filename: "list.txt".to_owned() };
    alice.timeline.send_attachment(source, "text/plain".parse()?, AttachmentConfig::default()).await?;
    let received = bob.latest("list.txt", |_| true).await?;
    let message = received.content().as_message().context("not a message")?;
    let MessageType::File(file) = message.msgtype() else {
        anyhow::bail!("a file came as {}", message.msgtype().msgtype());
    };
    let request = MediaRequestParameters { source: file.source.clone(), format: MediaFormat::File };
    let downloaded = bob.room().client().media().get_media_content(&request, false).await?;
    ensure!(downloaded == bytes, "{} bytes came as {}", bytes.len(), downloaded.len());
    Ok(())
}

pub async fn read(alice: &Chat, bob: &Chat) -> Result<()> {
    let (_listening, mut typing) = alice.room().subscribe_to_typing_notifications();
    bob.room().typing_notice(true).await?;
    let users = timeout(Duration::from_secs(60), typing.recv()).await.context("Bob's typing")??;
    ensure!(users == [bob.room().own_user_id()], "typing: {users:?}");

    alice.timeline.mark_as_read(ReceiptType::Read).await?;
    until_true("nothing unread", async || Ok(alice.room().num_unread_messages() == 0)).await?;
    bob.say("Two things:").await?;
    let last = bob.say("Mind the step, and the cat.").await?;
    until_true("two unread", async || Ok(alice.room().num_unread_messages() == 2)).await?;
    let seen = alice.item(&last, "at Alice", |event| body_of(event).is_some()).await?;
    ensure!(!seen.read_receipts().contains_key(alice.room().own_user_id()), "read too early");

    alice.timeline.mark_as_read(ReceiptType::Read).await?;
    let alice_id = alice.room().own_user_id();
    bob.item(&last, "read by Alice", |event| event.read_receipts().contains_key(alice_id)).await?;
    until_true("nothing unread", async || Ok(alice.room().num_unread_messages() == 0)).await
}
