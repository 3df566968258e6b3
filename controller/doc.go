// Package controller turns what a cluster wants into what a node's kernel holds. It is the only
// package that knows that Kubernetes has a clock and a network.
//
//	Service ----\                                            pure | kernel
//	EndpointSlice +-> names -> dirty --trigger--> round -> sync     |
//	Node --------/                                          |       |
//	                           render.Service, of a portion |       |
//	                                                        |       |
//	                                     claims.replace(name)       |
//	                                        v      v      v         |
//	                                      masq    ipvs  dummyif     desired | actual
//
//	Upsert: masq -> ipvs -> dummyif     a VIP is bound when its SNAT and its real servers are there
//	Prune:  dummyif -> ipvs -> masq     and unbound before they go
//
// There is one path. An event adds a name to the dirty set and says nothing more; a start, a
// resync and a retry are the same sync over other names. One goroutine, Run, owns all state behind
// the dirty set. Of that only what rendering reads is locked, the settings and the schedulers, for a portion may be
// rendered ahead.
//
// Start reading in sync.go.
package controller
