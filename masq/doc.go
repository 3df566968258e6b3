// Package masq decides who is masqueraded on the way to a Service and who is let in: a constant
// skeleton of iptables rules, and the ipsets that those rules consult.
//
// The number of rules does not depend on the number of Services. Whatever is per Service or per
// endpoint is an entry in a set, and entries are written in batches over netlink, without starting
// a process. skeleton.go is the whole list of rules; docs/packet-path.md walks through it.
//
// [Ruleset] has the verbs of every kernel package here: Set and Unset (memory only), Resync (read
// the kernel), Upsert and Prune (write it). The sets are also Fairlead's memory: what is in them
// was created by Fairlead, which is how a restarted daemon knows its own virtual servers and
// addresses from other people's.
package masq
