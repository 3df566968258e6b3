package main

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
)

// rendered is what a chart makes.
type rendered struct{ manifests, notes string }

// charted is what `helm template fairlead CHART --namespace kube-system --set ...` makes. Values that the
// chart's schema refuses are an error.
func charted(folder string, set ...string) (r rendered, err error) {
	values := map[string]any{}
	for _, s := range set {
		if err := strvals.ParseInto(s, values); err != nil {
			return r, fmt.Errorf("read %q: %w", s, err)
		}
	}
	return chartedWith(folder, values)
}

// chartedWith is charted with values as a file of values has them.
func chartedWith(folder string, values map[string]any) (r rendered, err error) {
	chart, err := loader.LoadDir(folder)
	if err != nil {
		return r, err
	}
	release := common.ReleaseOptions{Name: "fairlead", Namespace: "kube-system", Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(chart, values, release, nil)
	if err != nil {
		return r, err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return r, err
	}
	var manifests []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case path.Base(name) == "NOTES.txt":
			r.notes = files[name]
		case path.Ext(name) == ".yaml":
			manifests = append(manifests, files[name])
		}
	}
	r.manifests = strings.Join(manifests, "\n---\n")
	return r, nil
}
