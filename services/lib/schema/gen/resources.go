package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

type kind struct{ Group, Version, Kind string }

type subresource struct {
	Subresource  string   `json:"subresource"`
	ResponseKind kind     `json:"responseKind"`
	Verbs        []string `json:"verbs"`
}

type resource struct {
	Resource         string        `json:"resource"`
	ResponseKind     kind          `json:"responseKind"`
	Scope            string        `json:"scope"`
	SingularResource string        `json:"singularResource"`
	ShortNames       []string      `json:"shortNames"`
	Categories       []string      `json:"categories"`
	Verbs            []string      `json:"verbs"`
	Subresources     []subresource `json:"subresources"`
}

type document struct {
	Items []struct {
		Metadata struct{ Name string }
		Versions []struct {
			Version   string
			Resources []resource
		}
	}
}

// hashes reads the storage version hashes, which only the unaggregated documents have.
func hashes(dir, group, version string) map[string]string {
	file := "api__" + version + ".json"
	if group != "" {
		file = "apis__" + group + "__" + version + ".json"
	}
	raw, err := os.ReadFile(filepath.Join(dir, "api/discovery", file))
	must(err)
	var list struct {
		Resources []struct{ Name, StorageVersionHash string }
	}
	must(json.Unmarshal(raw, &list))
	found := map[string]string{}
	for _, r := range list.Resources {
		found[r.Name] = r.StorageVersionHash
	}
	return found
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func gvk(k kind, group, version string) string {
	if k.Group != "" || k.Version != "" {
		return k.Group + "/" + k.Version + "/" + k.Kind
	}
	return or(k.Kind)
}

// resources writes, in discovery order: groups, versions, resources, subresources.
func resources(dir string, out *bufio.Writer) {
	for _, file := range []string{"core", "aggregated_v2.json"} {
		var doc document
		if file == "core" {
			core(dir, out)
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, "api/discovery", file))
		must(err)
		must(json.Unmarshal(raw, &doc))
		for _, g := range doc.Items {
			for _, v := range g.Versions {
				fmt.Fprintf(out, "%s %s\n", or(g.Metadata.Name), v.Version)
				known := hashes(dir, g.Metadata.Name, v.Version)
				for _, r := range v.Resources {
					write(out, r, g.Metadata.Name, v.Version, known)
				}
			}
		}
	}
}

func write(out *bufio.Writer, r resource, group, version string, known map[string]string) {
	fmt.Fprintf(out, " %s %s %s %s %s %s %s %s\n", r.Resource, gvk(r.ResponseKind, group, version), r.Scope, or(r.SingularResource),
		or(strings.Join(r.ShortNames, ",")), or(strings.Join(r.Categories, ",")), or(strings.Join(r.Verbs, ",")), or(known[r.Resource]))
	for _, s := range r.Subresources {
		fmt.Fprintf(out, "  %s %s %s\n", s.Subresource, gvk(s.ResponseKind, group, version), strings.Join(s.Verbs, ","))
	}
}

// core reads the core group, which the aggregated document of /apis leaves out.
func core(dir string, out *bufio.Writer) {
	raw, err := os.ReadFile(filepath.Join(dir, "api/discovery/api__v1.json"))
	must(err)
	var list struct {
		Resources []struct {
			Name, SingularName, Kind, Group, Version, StorageVersionHash string
			Namespaced                                                   bool
			Verbs, ShortNames, Categories                                []string
		}
	}
	must(json.Unmarshal(raw, &list))
	fmt.Fprintln(out, "- v1")
	for _, r := range list.Resources {
		if _, sub, ok := strings.Cut(r.Name, "/"); ok {
			fmt.Fprintf(out, "  %s %s %s\n", sub, gvk(kind{r.Group, r.Version, r.Kind}, "", "v1"), strings.Join(r.Verbs, ","))
			continue
		}
		scope := "Cluster"
		if r.Namespaced {
			scope = "Namespaced"
		}
		k := resource{Resource: r.Name, ResponseKind: kind{r.Group, r.Version, r.Kind}, Scope: scope, SingularResource: r.SingularName,
			ShortNames: r.ShortNames, Categories: r.Categories, Verbs: r.Verbs}
		write(out, k, "", "v1", map[string]string{r.Name: r.StorageVersionHash})
	}
}
