package main

import (
	"encoding/json"
	"maps"
	"math"
	"slices"

	gmsl "github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

// Whether an event is allowed in a state: by the module's rules, but by the specification's where those differ.
func allowed(version gmsl.IRoomVersion, pdu gmsl.PDU, in state) bool {
	if pdu.Type() == spec.MRoomMember {
		return memberAllowed(pdu, in)
	}
	if pdu.Type() == spec.MRoomPowerLevels {
		return powerLevelsAllowed(version, pdu, in)
	}
	// The module lets a server set its aliases in every version; from version 6 on they are state like any other.
	if pdu.Type() == spec.MRoomAliases && !hasOldRules(version) {
		return moduleAllowed(altered(version, pdu, "type", "m.room.other"), in)
	}
	return moduleAllowed(pdu, in)
}

func memberAllowed(pdu gmsl.PDU, in state) bool {
	target := slotOf(pdu)
	isOwn := pdu.StateKeyEquals(string(pdu.SenderID()))
	before := membershipIn(in, target.stateKey)
	membership, err := pdu.Membership()
	check(err)
	switch {
	// The module lets a user leave who has left or never was there.
	case membership == spec.Leave && isOwn && before == spec.Leave:
		return false
	// To lift a ban the module asks for the power to ban; it also takes that for a kick.
	case membership == spec.Leave && !isOwn && before == spec.Ban:
		return moduleAllowed(pdu, in) && moduleAllowed(pdu, without(in, target))
	// The module does not let those join a public room who have knocked.
	case membership == spec.Join && isOwn && before == spec.Knock:
		return moduleAllowed(pdu, without(in, target))
	// The module lets those join whom the room has invited, also where the join rule lets nobody in.
	case membership == spec.Join && isOwn && joinRuleIn(in) == "private" && !isFirstJoin(pdu, in):
		return false
	case membership == spec.Invite && isExchanged(pdu):
		return exchangeAllowed(pdu, in, before)
	}
	return moduleAllowed(pdu, in)
}

// The module asks for a signature only: not who sent the third-party invite, nor whether the invited user is banned.
func exchangeAllowed(pdu gmsl.PDU, in state, before string) bool {
	content, err := gmsl.NewMemberContentFromEvent(pdu)
	check(err)
	invite, ok := in[slot{spec.MRoomThirdPartyInvite, content.ThirdPartyInvite.Signed.Token}]
	return ok && before != spec.Ban && invite.SenderID() == pdu.SenderID() && moduleAllowed(pdu, in)
}

func isExchanged(pdu gmsl.PDU) bool {
	content, err := gmsl.NewMemberContentFromEvent(pdu)
	check(err)
	return content.ThirdPartyInvite != nil
}

func isFirstJoin(pdu gmsl.PDU, in state) bool {
	create, ok := in[slot{spec.MRoomCreate, ""}]
	previous := pdu.PrevEventIDs()
	return ok && len(previous) == 1 && previous[0] == create.EventID() && pdu.StateKeyEquals(creatorOf(create))
}

func moduleAllowed(pdu gmsl.PDU, in state) bool {
	if _, ok := in[slot{spec.MRoomCreate, ""}]; !ok && pdu.Type() != spec.MRoomCreate {
		return false
	}
	provider, err := gmsl.NewAuthEvents(slices.Collect(maps.Values(in)))
	check(err)
	return gmsl.Allowed(pdu, provider, userIDForSender) == nil
}

func membershipIn(in state, userID string) string {
	if member, ok := in[slot{spec.MRoomMember, userID}]; ok {
		membership, err := member.Membership()
		check(err)
		return membership
	}
	return spec.Leave
}

func joinRuleIn(in state) string {
	if joinRules, ok := in[slot{spec.MRoomJoinRules, ""}]; ok {
		joinRule, err := joinRules.JoinRule()
		check(err)
		return joinRule
	}
	return spec.Invite
}

func without(in state, at slot) state {
	rest := maps.Clone(in)
	delete(rest, at)
	return rest
}

// The module compares levels with the defaults that apply where we, like Synapse, compare only what is given; it does
// not protect `users_default`, and its rule for `notifications` knows no creators. So it is asked about an event that
// changes nothing, and the changes are judged here.
func powerLevelsAllowed(version gmsl.IRoomVersion, pdu gmsl.PDU, in state) bool {
	at := slot{spec.MRoomPowerLevels, ""}
	current, ok := in[at]
	if !ok {
		empty := map[string]json.RawMessage{}
		return moduleAllowed(altered(version, pdu, "content", empty), in) && !namesCreator(version, pdu, in)
	}
	unchanged := altered(version, pdu, "content", contentOf(current))
	if !moduleAllowed(unchanged, in) || namesCreator(version, pdu, in) {
		return false
	}
	sender := string(pdu.SenderID())
	level := userLevel(version, sender, in)
	before, after := levelsOf(version, current), levelsOf(version, pdu)
	for at, value := range before {
		if next, ok := after[at]; ok && next == value {
			continue
		}
		isOther := at.eventType == "users" && at.stateKey != sender
		if value > level || isOther && value == level {
			return false
		}
	}
	for at, value := range after {
		if old, ok := before[at]; (!ok || old != value) && value > level {
			return false
		}
	}
	return true
}

// All levels that are given; `notifications` from version 6 on.
func levelsOf(version gmsl.IRoomVersion, powerLevels gmsl.PDU) map[slot]float64 {
	parsed, err := gmsl.NewPowerLevelContentFromEvent(powerLevels)
	check(err)
	content := contentOf(powerLevels)
	levels := map[slot]float64{}
	for name, value := range map[string]int64{
		"users_default":  parsed.UsersDefault,
		"events_default": parsed.EventsDefault,
		"state_default":  parsed.StateDefault,
		"ban":            parsed.Ban,
		"redact":         parsed.Redact,
		"kick":           parsed.Kick,
		"invite":         parsed.Invite,
	} {
		if content[name] != nil {
			levels[slot{name, ""}] = float64(value)
		}
	}
	add := func(name string, all map[string]int64) {
		given := map[string]json.RawMessage{}
		if content[name] != nil {
			check(json.Unmarshal(content[name], &given))
		}
		for key := range given {
			levels[slot{name, key}] = float64(all[key])
		}
	}
	add("events", parsed.Events)
	add("users", parsed.Users)
	if !hasOldRules(version) {
		add("notifications", parsed.Notifications)
	}
	return levels
}

// Version 12 and later.
func namesCreator(version gmsl.IRoomVersion, pdu gmsl.PDU, in state) bool {
	if !version.PrivilegedCreators() {
		return false
	}
	parsed, err := gmsl.NewPowerLevelContentFromEvent(pdu)
	check(err)
	for _, creator := range gmsl.CreatorsFromCreateEvent(in[slot{spec.MRoomCreate, ""}]) {
		if _, ok := parsed.Users[creator]; ok {
			return true
		}
	}
	return false
}

// Versions 1 to 5.
func hasOldRules(version gmsl.IRoomVersion) bool {
	return slices.Contains([]string{"1", "2", "3", "4", "5"}, string(version.Version()))
}

func contentOf(pdu gmsl.PDU) map[string]json.RawMessage {
	content := map[string]json.RawMessage{}
	check(json.Unmarshal(pdu.Content(), &content))
	return content
}

// The same event but for one field.
func altered(version gmsl.IRoomVersion, pdu gmsl.PDU, field string, value any) gmsl.PDU {
	fields := map[string]json.RawMessage{}
	check(json.Unmarshal(pdu.JSON(), &fields))
	text, err := json.Marshal(value)
	check(err)
	fields[field] = text
	text, err = json.Marshal(fields)
	check(err)
	made, err := version.NewEventFromTrustedJSONWithEventID(pdu.EventID(), text, false)
	check(err)
	return made
}

// A user's power level in a state, infinite for the creators of version 12.
func userLevel(version gmsl.IRoomVersion, userID string, in state) float64 {
	create := in[slot{spec.MRoomCreate, ""}]
	if version.PrivilegedCreators() && create != nil && slices.Contains(gmsl.CreatorsFromCreateEvent(create), userID) {
		return math.Inf(1)
	}
	if powerLevels, ok := in[slot{spec.MRoomPowerLevels, ""}]; ok {
		content, err := gmsl.NewPowerLevelContentFromEvent(powerLevels)
		check(err)
		return float64(content.UserLevel(spec.SenderID(userID)))
	}
	if create != nil && creatorOf(create) == userID {
		return 100
	}
	return 0
}

func creatorOf(create gmsl.PDU) string {
	var creator string
	if given := contentOf(create)["creator"]; given != nil {
		check(json.Unmarshal(given, &creator))
		return creator
	}
	return string(create.SenderID())
}
