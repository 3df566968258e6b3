package main

import (
	"slices"
	"strings"
)

// nearest returns the candidate that whoever wrote word most likely meant, or
// "" if none is near. Case does not count: excludeCidrs means excludeCIDRs.
func nearest(word string, candidates []string) string {
	best := ""
	limit := min(2+len(word)/4, len(word)) // not that far, or it is another word
	for _, candidate := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < limit {
			best, limit = candidate, d
		}
	}
	return best
}

// distance is the number of single-character edits between two words, where
// swapping two neighbors is one edit: most typing errors are a distance of 1.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// didYouMean is the tail of a message about an unknown word, or empty. Words
// longer than any real key are not compared: the time grows with their length.
func didYouMean(word string, candidates []string) string {
	if len(word) > 100 {
		return ""
	}
	if near := nearest(word, candidates); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}

// suggestPath is didYouMean for the key name that was found in a section ("" at
// the top): a key of kube-proxy, a like name in that section, or the same name
// elsewhere.
func suggestPath(section, name string, known []string) string {
	if kubeProxyOnly(joinPath(section, name)) {
		return " (kube-proxy has it, Fairlead does not: remove it)"
	}
	var siblings, elsewhere []string
	for _, path := range known {
		parent, last := splitPath(path)
		if parent == section {
			siblings = append(siblings, last)
		}
		if strings.EqualFold(last, name) || strings.EqualFold(path, name) {
			elsewhere = append(elsewhere, path)
		}
	}
	if len(name) <= 100 {
		if near := nearest(name, siblings); near != "" {
			return " (did you mean " + joinPath(section, near) + "?)"
		}
	}
	if len(elsewhere) > 0 {
		return " (did you mean " + strings.Join(elsewhere, " or ") + "?)"
	}
	return " (known keys: 'fairlead config defaults')"
}

// kubeProxyOnly tells whether kube-proxy's configuration has a key that ours
// does not, for those who come with a kube-proxy file in hand.
func kubeProxyOnly(path string) bool {
	return slices.Contains([]string{
		"apiVersion", "kind", "mode", "bindAddress", "bindAddressHardFail", "configSyncPeriod", "featureGates",
		"nftables", "winkernel", "portRange", "showHiddenMetricsForVersion", "windowsRunAsService",
		"clientConnection.acceptContentTypes", "clientConnection.contentType",
		"iptables.localhostNodePorts", "iptables.syncPeriod", "iptables.minSyncPeriod",
		"logging.flushFrequency", "logging.options", "logging.verbosity", "logging.vmodule",
	}, path)
}

func joinPath(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}

func splitPath(path string) (section, name string) {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}
