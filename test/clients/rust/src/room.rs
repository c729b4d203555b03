//! Devices and rooms that come and go.

use anyhow::{Context, Result, ensure};
use matrix_sdk::{
    RoomMemberships, RoomState,
    ruma::{
        api::client::room::create_room::v3::{Request, RoomPreset},
        events::{InitialStateEvent, room::encryption::RoomEncryptionEventContent},
    },
    sliding_sync::Version,
};

use crate::{
    chat::Chat,
    device::{Account, Device},
    patience::until_true,
};

const BEFORE: &str = "Nobody else is here yet.";
const ROOM_NAME: &str = "Cellar";
/// The room list starts with 20 rooms and then asks for more.
const MANY: usize = 25;

/// The first device of a user makes the keys that sign the user's devices.
pub async fn first_device(url: &str, account: &Account) -> Result<Device> {
    let device = Device::log_in(url, account, "phone").await?;
    ensure!(matches!(device.client.sliding_sync_version(), Version::Native));
    let keys = device.client.encryption().cross_signing_status().await;
    ensure!(keys.as_ref().is_some_and(|keys| keys.is_complete()), "keys: {keys:?}");
    ensure!(device.shown().is_empty(), "a new user has rooms: {:?}", device.shown());
    Ok(device)
}

/// An encrypted room with a name and a first message.
pub async fn create(device: &Device) -> Result<Chat> {
    let mut request = Request::new();
    request.name = Some(ROOM_NAME.to_owned());
    request.preset = Some(RoomPreset::PrivateChat);
    let encryption = RoomEncryptionEventContent::with_recommended_defaults();
    request.initial_state = vec![InitialStateEvent::with_empty_state_key(encryption).to_raw_any()];
    let created = device.client.create_room(request).await?;
    let room = device.shows(created.room_id(), RoomState::Joined).await?;
    until_true("the name", async || Ok(room.name().as_deref() == Some(ROOM_NAME))).await?;
    ensure!(room.latest_encryption_state().await?.is_encrypted(), "not encrypted");
    let chat = device.open(room.room_id()).await?;
    chat.say(BEFORE).await?;
    Ok(chat)
}

/// Has a user invited, who accepts.
pub async fn invite(host: &Chat, guest: &Device) -> Result<Chat> {
    let room = host.room();
    room.invite_user_by_id(guest.user_id()).await?;
    let invited = guest.shows(room.room_id(), RoomState::Invited).await?;
    let inviter = invited.invite_details().await?.inviter.context("an invitation by nobody")?;
    ensure!(inviter.user_id() == room.own_user_id(), "invited by {}", inviter.user_id());
    ensure!(invited.name().as_deref() == Some(ROOM_NAME), "invited to {:?}", invited.name());
    invited.join().await?;
    let chat = guest.open(room.room_id()).await?;
    until_true("both to be members", async || {
        Ok(room.joined_members_count() == 2 && chat.room().joined_members_count() == 2)
    })
    .await?;
    Ok(chat)
}

/// The inviting device sent the invited one the keys of what was said before.
pub async fn shared_history(host: &Chat, guest: &Chat) -> Result<()> {
    let said = host.latest(BEFORE, |_| true).await?;
    let event_id = said.event_id().context("without an id")?;
    guest.page_back_to(event_id).await?;
    guest.reads(event_id, BEFORE).await?;
    Ok(())
}

/// More rooms than a list asks for at first.
pub async fn create_many(device: &Device) -> Result<()> {
    for number in 1..MANY {
        let mut request = Request::new();
        request.name = Some(format!("Shelf {number}"));
        device.client.create_room(request).await?;
    }
    until_true("all rooms", async || Ok(device.shown().len() == MANY)).await
}

/// The list has grown to all rooms, and begins with the one in which something was said last.
pub async fn list(device: &Device, latest: &Chat, speaker: &Chat) -> Result<()> {
    until_true("all rooms", async || Ok(device.shown().len() == MANY)).await?;
    for (room, state) in device.shown() {
        ensure!(state == RoomState::Joined && room.name().is_some(), "{room:?} is {state:?}");
    }
    let event_id = speaker.say("The shelves are full.").await?;
    latest.reads(&event_id, "The shelves are full.").await?;
    until_true("the latest room on top", async || {
        Ok(device.shown().first().is_some_and(|(room, _)| room.room_id() == latest.room().room_id()))
    })
    .await
}

/// A tag that one device sets is there on the other, and goes.
pub async fn favourite(one: &Chat, other: &Chat) -> Result<()> {
    for favourite in [true, false] {
        one.room().set_is_favourite(favourite, None).await?;
        until_true("the tag", async || Ok(other.room().is_favourite() == favourite)).await?;
    }
    Ok(())
}

pub async fn leave(host: &Chat, guest: &Chat, device: &Device) -> Result<()> {
    guest.room().leave().await?;
    until_true("an empty list", async || Ok(device.shown().is_empty())).await?;
    until_true("one member", async || Ok(host.room().joined_members_count() == 1)).await?;
    let members = host.room().members(RoomMemberships::JOIN).await?;
    ensure!(members.len() == 1, "{} members", members.len());
    Ok(())
}

pub async fn log_out(devices: [&Device; 2]) -> Result<()> {
    for device in devices {
        device.sync.stop().await;
        device.client.logout().await?;
        ensure!(device.client.whoami().await.is_err(), "{} is still logged in", device.id());
    }
    Ok(())
}
