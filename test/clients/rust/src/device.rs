//! A device of a user, set up as the mobile clients set theirs up: sliding sync, found by asking the server, and keys that are
//! signed, backed up and fetched from the backup without being asked for.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, pin_mut};
use matrix_sdk::{
    Client, Room, RoomState,
    cross_process_lock::CrossProcessLockConfig,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
    ruma::{DeviceId, RoomId, UserId},
    sliding_sync::VersionBuilder,
};
use matrix_sdk_ui::{
    RoomListService,
    room_list_service::{RoomListItem, RoomListLoadingState, filters::new_filter_non_left},
    sync_service::{State, SyncService},
    timeline::RoomExt,
};
use tokio::task::JoinHandle;

use crate::{
    chat::Chat,
    patience::{until, until_true},
};

pub struct Account {
    pub name: String,
    pub password: String,
}

pub struct Device {
    pub client: Client,
    pub sync: SyncService,
    /// The rooms in the order in which they are shown.
    shown: Arc<Mutex<Vec<RoomListItem>>>,
    room_list: JoinHandle<()>,
}

impl Device {
    /// Logs in, makes or fetches the keys of the user, and waits for the first room list.
    pub async fn log_in(url: &str, account: &Account, device_name: &str) -> Result<Self> {
        let client = Client::builder()
            .homeserver_url(url)
            .sliding_sync_version_builder(VersionBuilder::DiscoverNative)
            .cross_process_store_config(CrossProcessLockConfig::SingleProcess)
            .with_encryption_settings(EncryptionSettings {
                auto_enable_cross_signing: true,
                auto_enable_backups: true,
                backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
            })
            .build()
            .await
            .context("the server does not do")?;
        client
            .matrix_auth()
            .login_username(&account.name, &account.password)
            .initial_device_display_name(device_name)
            .await
            .context("logging in")?;
        client.encryption().wait_for_e2ee_initialization_tasks().await;
        let sync = SyncService::builder(client.clone()).with_offline_mode().build().await?;
        let shown = Arc::default();
        let room_list = tokio::spawn(show_rooms(sync.room_list_service(), Arc::clone(&shown)));
        let device = Self { client, sync, shown, room_list };
        device.start().await?;
        Ok(device)
    }

    /// Starts to sync, and waits until the server has told how many rooms there are.
    pub async fn start(&self) -> Result<()> {
        self.sync.start().await;
        let list = self.sync.room_list_service().all_rooms().await?;
        let loading = list.loading_state();
        until_true("the room list", async || {
            let state = self.sync.state().get();
            ensure!(!matches!(state, State::Error(_)), "syncing failed: {state:?}");
            Ok(matches!(state, State::Running)
                && matches!(loading.get(), RoomListLoadingState::Loaded { maximum_number_of_rooms: Some(_) }))
        })
        .await
    }

    pub fn user_id(&self) -> &UserId {
        self.client.user_id().expect("logged in")
    }

    pub fn id(&self) -> &DeviceId {
        self.client.device_id().expect("logged in")
    }

    /// What the room list shows, in its order: rooms, and with which membership.
    pub fn shown(&self) -> Vec<(Room, RoomState)> {
        let shown = self.shown.lock().expect("nobody panics with the rooms");
        shown.iter().map(|item| ((**item).clone(), item.state())).collect()
    }

    /// Waits until the room list shows a room with this membership.
    pub async fn shows(&self, room_id: &RoomId, state: RoomState) -> Result<Room> {
        until(format_args!("{room_id} as {state:?} in the room list of {}", self.user_id()), async || {
            let mut shown = self.shown().into_iter();
            Ok(shown.find(|(room, now)| room.room_id() == room_id && *now == state).map(|(room, _)| room))
        })
        .await
    }

    /// Opens a room, as a client does that shows its timeline.
    pub async fn open(&self, room_id: &RoomId) -> Result<Chat> {
        let room = self.shows(room_id, RoomState::Joined).await?;
        self.sync.room_list_service().subscribe_to_rooms(&[room_id]).await;
        Ok(Chat::new(room.timeline().await?))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.room_list.abort();
    }
}

/// Follows the room list for as long as it lasts.
async fn show_rooms(service: Arc<RoomListService>, shown: Arc<Mutex<Vec<RoomListItem>>>) {
    let list = service.all_rooms().await.expect("a service has its list of all rooms");
    let (changes, controller) = list.entries_with_dynamic_adapters(100);
    controller.set_filter(Box::new(new_filter_non_left()));
    pin_mut!(changes);
    let mut rooms = Default::default();
    while let Some(batch) = changes.next().await {
        for change in batch {
            change.apply(&mut rooms);
        }
        *shown.lock().expect("nobody panics with the rooms") = rooms.iter().cloned().collect();
    }
}
