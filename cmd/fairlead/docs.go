package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/kube-proxy/config/v1alpha1"
)

// newConfigDocsCommand returns the command that writes docs/configuration.md. It is for those who work
// on Fairlead, so that it is not in the help.
func newConfigDocsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "docs",
		Hidden:  true,
		Short:   "Print docs/configuration.md",
		Long:    "Print docs/configuration.md: every key, and every field of kube-proxy's file.",
		Example: `  fairlead config docs > docs/configuration.md`,
		Args:    wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), configurationPage())
			return err
		},
	}
}

// configurationPage returns docs/configuration.md. Like config.yaml it is made from the table of keys.
func configurationPage() string {
	var b strings.Builder
	b.WriteString(pageIntroduction)
	b.WriteString("\n## The keys\n\n| key | default | a change of the file |\n|---|---|---|\n")
	for _, k := range keys() {
		anchor := strings.ToLower(strings.ReplaceAll(k.path, ".", ""))
		fmt.Fprintf(&b, "| [`%s`](#%s) | `%s` | %s |\n", k.path, anchor, k.yaml(k.def), k.whenChanged())
	}
	theirs := kubeProxyNames()
	for _, k := range keys() {
		writeKeyDocs(&b, k, theirs[k.path])
	}
	b.WriteString("\n" + pageKubeProxy)
	writeKubeProxyTable(&b)
	return b.String()
}

// whenChanged says when a change of the key in the file takes effect.
func (k key) whenChanged() string {
	if k.restart {
		return "after a restart"
	}
	return "at once"
}

// units says what a value of the key counts.
func (k key) units() string {
	value, _ := k.parseText(k.def)
	if _, isTime := value.(time.Duration); isTime {
		return "time, written with its unit: `ms`, `s`, `m`, `h`"
	}
	return k.unit
}

// writeKeyDocs writes what there is to know of one key.
func writeKeyDocs(b *strings.Builder, k key, theirs []string) {
	fmt.Fprintf(b, "\n### `%s`\n\n", k.path)
	if strings.Contains(k.comment, "  ") { // a list, aligned
		fmt.Fprintf(b, "```text\n%s\n```\n", k.comment)
	} else {
		b.WriteString(k.comment + "\n")
	}
	fmt.Fprintf(b, "\n* Default: `%s`\n", k.yaml(k.def))
	allowed := k.kind.want
	if k.kind.list {
		allowed = "a list; each item " + allowed
	}
	fmt.Fprintf(b, "* Allowed: %s\n", allowed)
	if unit := k.units(); unit != "" {
		fmt.Fprintf(b, "* Unit: %s\n", unit)
	}
	fmt.Fprintf(b, "* Environment: `%s`\n", k.env())
	if k.flag != "" {
		fmt.Fprintf(b, "* Flag: `--%s`\n", k.flag)
	}
	fmt.Fprintf(b, "* A change of the file takes effect %s\n", k.whenChanged())
	if len(theirs) == 0 {
		theirs = []string{"has no such field"}
	}
	fmt.Fprintf(b, "* kube-proxy: %s\n", strings.Join(theirs, ", "))
}

// kubeProxyNames returns the fields of kube-proxy that each key takes over.
func kubeProxyNames() map[string][]string {
	names := map[string][]string{}
	for _, f := range kubeProxyFields(&v1alpha1.KubeProxyConfiguration{Mode: modeIPVS}) {
		if f.key != "" {
			names[f.key] = append(names[f.key], "`"+f.path+"`")
		}
	}
	for _, f := range perMode() {
		names[f.key] = append(names[f.key], fmt.Sprintf("in mode %s `%s`", f.why, f.path))
	}
	return names
}

// perMode returns the fields that count in another mode than ipvs only, with that mode as the reason.
func perMode() (list []kubeProxyField) {
	for _, mode := range []string{modeIPTables, modeNFTables} {
		c := v1alpha1.KubeProxyConfiguration{Mode: v1alpha1.ProxyMode(mode)}
		c.IPTables.SyncPeriod.Duration, c.NFTables.SyncPeriod.Duration = 1, 1
		for _, f := range kubeProxyFields(&c) {
			own := strings.HasPrefix(f.path, mode+".")
			if own && f.key != "" && !strings.HasPrefix(f.path, "iptables.masquerade") {
				list = append(list, kubeProxyField{path: f.path, key: f.key, why: mode})
			}
		}
	}
	return list
}

// writeKubeProxyTable writes what becomes of each field of kube-proxy.
func writeKubeProxyTable(b *strings.Builder) {
	b.WriteString("\n| field of kube-proxy | here |\n|---|---|\n")
	modes := map[string]kubeProxyField{}
	for _, f := range perMode() {
		modes[f.path] = f
	}
	for _, f := range kubeProxyFields(&v1alpha1.KubeProxyConfiguration{Mode: modeIPVS}) {
		here := "`" + f.key + "`"
		switch other, ok := modes[f.path]; {
		case ok:
			here = fmt.Sprintf("in mode %s `%s`, otherwise nothing", other.why, other.key)
		case f.key == "":
			here = "nothing: " + strings.ReplaceAll(f.why, "\n", " ")
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", f.path, here)
	}
}
