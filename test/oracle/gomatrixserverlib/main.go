// Resolves the state of rooms with the Go module gomatrixserverlib, to compare ours with. Reads rooms as JSON, one a
// line, and prints for each room one line with two answers for each set of states it names, as sorted event ids:
// `resolved`, by the module's authorisation rules along the specification's algorithm (resolve_v1.go, resolve_v2.go),
// and `module`, by the module's own resolver, which departs from the specification in ways of its own.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	gmsl "github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

type roomJSON struct {
	Version gmsl.RoomVersion `json:"version"`
	Events  []eventJSON      `json:"events"`
	// Each a set of states to be resolved; a state is the ids of its events.
	Merges [][][]string `json:"merges"`
}

type eventJSON struct {
	ID       string          `json:"event_id"`
	PDU      json.RawMessage `json:"pdu"`
	Rejected bool            `json:"rejected"`
}

type answer struct {
	Resolved [][]string `json:"resolved"`
	// Nothing for version 12, where the resolver panics for want of the create event.
	Module [][]string `json:"module"`
}

func main() {
	output := bufio.NewWriter(os.Stdout)
	// The module prints what it finds: not among our answers.
	os.Stdout = os.Stderr
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		check(err)
		var read roomJSON
		check(json.Unmarshal(line, &read))
		text, err := json.Marshal(resolveRoom(read))
		check(err)
		_, err = output.Write(append(text, '\n'))
		check(err)
		check(output.Flush())
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func resolveRoom(read roomJSON) answer {
	version, err := gmsl.GetRoomVersion(read.Version)
	check(err)
	r := room{version: version, events: map[string]gmsl.PDU{}, rejected: map[string]bool{}}
	all := []gmsl.PDU{}
	for _, one := range read.Events {
		pdu, err := version.NewEventFromTrustedJSONWithEventID(one.ID, one.PDU, false)
		check(err)
		all = append(all, pdu)
		r.events[one.ID] = pdu
		r.rejected[one.ID] = one.Rejected
	}
	answers := answer{Resolved: [][]string{}, Module: [][]string{}}
	for _, merge := range read.Merges {
		states := [][]gmsl.PDU{}
		for _, ids := range merge {
			states = append(states, r.events.all(ids))
		}
		answers.Resolved = append(answers.Resolved, sortedIDs(r.resolve(states)))
		if version.StateResAlgorithm() != gmsl.StateResV2_1 {
			answers.Module = append(answers.Module, sortedIDs(r.moduleResolve(states, all)))
		}
	}
	return answers
}

// The module's own resolver. Its answer is reported, not required: beside the rules that rules.go sets right it
//   - sorts power events from the last to the first, and takes along what they rest on only where that is conflicted;
//   - counts an event that cites no power levels of the mainline as one that cites the first of them;
//   - breaks ties of mainline position by the number of power levels events in between, before time;
//   - puts the event to be judged where one of its auth events should fill a slot that the state does not have;
//   - keeps a join rule it has once read as public, or as invite, after a restricted join;
//   - in version 1 takes the event of least depth where none is allowed.
//
// test/fixtures/state-resolution has examples of most.
func (r *room) moduleResolve(states [][]gmsl.PDU, all []gmsl.PDU) []gmsl.PDU {
	if r.version.StateResAlgorithm() == gmsl.StateResV1 {
		conflicts, agreed := splitV1(states)
		return append(gmsl.ResolveStateConflicts(conflicts, agreed, userIDForSender), agreed...)
	}
	isRejected := func(id string) bool { return r.rejected[id] }
	resolved, err := gmsl.ResolveConflictsNew(r.version.Version(), states, all, userIDForSender, isRejected)
	check(err)
	return resolved
}

func sortedIDs(pdus []gmsl.PDU) []string {
	ids := []string{}
	for _, pdu := range pdus {
		ids = append(ids, pdu.EventID())
	}
	slices.Sort(ids)
	return ids
}

func userIDForSender(_ spec.RoomID, sender spec.SenderID) (*spec.UserID, error) {
	return spec.NewUserID(string(sender), true)
}
