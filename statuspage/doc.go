// Package statuspage serves a page that shows people what the daemon does, live, in a browser.
//
// The page is read-only and has no authentication: it is for the loopback, to which people come by ssh or
// kubectl port-forward. Handler therefore refuses what a foreign web page could have a browser do: requests under
// names that do not belong to it (DNS rebinding) and requests from other origins. What the cluster says reaches the
// document as text only, and the Content-Security-Policy admits nothing but the three kinds of files in assets.
package statuspage
