// Program conformance reads what the conformance tests printed for each proxy and writes down how each of them fares: a
// file for machines, docs/results/conformance.json, and the last columns of the tables in docs/conformance.md.
//
//	conformance -doc docs/conformance.md -json docs/results/conformance.json LOG...
//
// A log is the output of `go test -v` and is named conformance-PROXY.log. Of a proxy without a log, what the JSON file says
// is kept: proxies may be measured one at a time. In the document every table row between the markers
//
//	<!-- results: begin --> and <!-- results: end -->
//
// names in its second column the tests that prove it, each in backquotes, with the part behind the last slash left out where
// all parts count. The columns behind it are filled; the first two are never changed.
package main
