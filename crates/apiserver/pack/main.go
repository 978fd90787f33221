// Command pack writes the facts about built-in types that the API server stands on.
//
// Names, tags and numbers come from the Go types by reflection, list types, requiredness and defaults from
// the OpenAPI documents of k8s.io/kubernetes. Run it in this folder: see generate.sh.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	apps "k8s.io/api/apps/v1"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	autoscaling "k8s.io/api/autoscaling/v1"
	autoscaling2 "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	certificates "k8s.io/api/certificates/v1"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	events "k8s.io/api/events/v1"
	networking "k8s.io/api/networking/v1"
	node "k8s.io/api/node/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	scheduling "k8s.io/api/scheduling/v1"
	storage "k8s.io/api/storage/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// Types with an encoding of their own, by the word the pack has for them.
var special = map[reflect.Type]string{
	reflect.TypeOf(meta.Time{}):                                  "time",
	reflect.TypeOf(meta.MicroTime{}):                             "microtime",
	reflect.TypeOf(meta.Duration{}):                              "duration",
	reflect.TypeOf(meta.FieldsV1{}):                              "fields",
	reflect.TypeOf(resource.Quantity{}):                          "quantity",
	reflect.TypeOf(intstr.IntOrString{}):                         "intorstring",
	reflect.TypeOf(runtime.RawExtension{}):                       "raw",
	reflect.TypeOf(apiextensions.JSON{}):                         "json",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrArray{}):       "schemaorlist",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrBool{}):        "schemaorbool",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrStringArray{}): "schemaornames",
}

// What OpenAPI says about a field.
type property struct {
	Ref      string          `json:"$ref"`
	Default  json.RawMessage `json:"default"`
	Enum     []string        `json:"enum"`
	ListType string          `json:"x-kubernetes-list-type"`
	ListKeys []string        `json:"x-kubernetes-list-map-keys"`
	MapType  string          `json:"x-kubernetes-map-type"`
}

type definition struct {
	Properties map[string]property `json:"properties"`
	Required   []string            `json:"required"`
	MapType    string              `json:"x-kubernetes-map-type"`
}

type pack struct {
	definitions map[string]definition
	seen        map[reflect.Type]bool
	types       map[string]string
}

func main() {
	openAPI, err := os.ReadFile(filepath.Join(os.Args[1], "api/openapi-spec/swagger.json"))
	check(err)
	var document struct {
		Definitions map[string]definition `json:"definitions"`
	}
	check(json.Unmarshal(openAPI, &document))
	addDefaults(document.Definitions, filepath.Join(os.Args[1], "api/openapi-spec/v3/*.json"))

	p := pack{definitions: document.Definitions, seen: map[reflect.Type]bool{}, types: map[string]string{}}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionregistration.AddToScheme, apps.AddToScheme, authentication.AddToScheme,
		authorization.AddToScheme, autoscaling.AddToScheme, autoscaling2.AddToScheme, batch.AddToScheme,
		certificates.AddToScheme, coordination.AddToScheme, core.AddToScheme, discovery.AddToScheme,
		events.AddToScheme, networking.AddToScheme, node.AddToScheme, policy.AddToScheme,
		rbac.AddToScheme, scheduling.AddToScheme, storage.AddToScheme, apiextensions.AddToScheme,
		apiregistration.AddToScheme,
	} {
		check(add(scheme))
	}
	var kinds []string
	for gvk, t := range scheme.AllKnownTypes() {
		_, isObject := t.FieldByName("ObjectMeta")
		_, isList := t.FieldByName("ListMeta")
		isReview := strings.HasSuffix(gvk.Kind, "Review")
		if gvk.Version == runtime.APIVersionInternal || isList || !isObject && !isReview {
			continue
		}
		kinds = append(kinds, fmt.Sprintf("# %s %s %s", gvk.GroupVersion(), gvk.Kind, p.visit(t)))
	}
	for _, options := range []any{meta.DeleteOptions{}, meta.CreateOptions{}, meta.PatchOptions{}, meta.UpdateOptions{}} {
		t := reflect.TypeOf(options)
		kinds = append(kinds, fmt.Sprintf("# meta.k8s.io/v1 %s %s", t.Name(), p.visit(t)))
	}
	sort.Strings(kinds)
	names := make([]string, 0, len(p.types))
	for name := range p.types {
		names = append(names, name)
	}
	sort.Strings(names)

	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(out, strings.Join(kinds, "\n"))
	for _, name := range names {
		fmt.Fprint(out, p.types[name])
	}
	check(out.Flush())
}

// Adds the defaults of fields, which only the newer documents have.
func addDefaults(definitions map[string]definition, pattern string) {
	files, err := filepath.Glob(pattern)
	check(err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		check(err)
		var document struct {
			Components struct {
				Schemas map[string]struct {
					Properties map[string]struct {
						Default json.RawMessage `json:"default"`
					} `json:"properties"`
				} `json:"schemas"`
			} `json:"components"`
		}
		check(json.Unmarshal(text, &document))
		for name, schema := range document.Components.Schemas {
			for field, found := range schema.Properties {
				if known, ok := definitions[name].Properties[field]; ok {
					known.Default = found.Default
					definitions[name].Properties[field] = known
				}
			}
		}
	}
}

// Returns whether a default is more than what Go holds where nothing was given.
func isNews(value json.RawMessage) bool {
	switch string(value) {
	case "", "{}", `""`, "0", "false", "null":
		return false
	}
	return true
}

// Visits a struct type and all it leads to; returns its name in the pack.
func (p *pack) visit(t reflect.Type) string {
	name := shortName(t)
	if p.seen[t] {
		return name
	}
	p.seen[t] = true
	definition := p.definitions[openAPIName(t)]
	required := map[string]bool{}
	for _, each := range definition.Required {
		required[each] = true
	}
	var text strings.Builder
	fmt.Fprintf(&text, "= %s", name)
	if definition.MapType != "" {
		fmt.Fprintf(&text, " map=%s", definition.MapType)
	}
	text.WriteString("\n")
	for i := range t.NumField() {
		text.WriteString(p.field(t.Field(i), definition, required))
	}
	p.types[name] = text.String()
	return name
}

func (p *pack) field(f reflect.StructField, definition definition, required map[string]bool) string {
	tag := strings.Split(f.Tag.Get("json"), ",")
	name := tag[0]
	if name == "-" || f.Tag.Get("json") == "" && !f.Anonymous {
		return ""
	}
	words := []string{name, number(f.Tag.Get("protobuf")), p.typeName(f.Type)}
	if name == "" {
		words[0] = "-"
	}
	for _, option := range tag[1:] {
		switch option {
		case "omitempty", "omitzero", "inline":
			words = append(words, option)
		}
	}
	flag := func(key, value string) {
		if value != "" {
			words = append(words, key+"="+value)
		}
	}
	flag("patch", f.Tag.Get("patchStrategy"))
	flag("key", f.Tag.Get("patchMergeKey"))
	property := definition.Properties[name]
	flag("list", property.ListType)
	flag("keys", strings.Join(property.ListKeys, ","))
	flag("map", property.MapType)
	flag("enum", strings.Join(property.Enum, ","))
	// An empty text that encoding leaves out still tells list items apart.
	isLeftOut := string(property.Default) == `""` && slices.Contains(tag[1:], "omitempty")
	if isNews(property.Default) || isLeftOut {
		flag("default", string(property.Default))
	}
	if required[name] {
		words = append(words, "required")
	}
	return strings.Join(words, " ") + "\n"
}

func (p *pack) typeName(t reflect.Type) string {
	if word, ok := special[t]; ok {
		return word
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + p.typeName(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + p.typeName(t.Elem())
	case reflect.Map:
		return "{}" + p.typeName(t.Elem())
	case reflect.Struct:
		return p.visit(t)
	default:
		return t.Kind().String()
	}
}

// Returns the number of a protobuf tag such as `bytes,1,opt,name=metadata`, 0 without one.
func number(tag string) string {
	if parts := strings.Split(tag, ","); len(parts) > 1 {
		return parts[1]
	}
	return "0"
}

// Returns the last parts of the package and the type, such as core.v1.Pod.
func shortName(t reflect.Type) string {
	parts := strings.Split(t.PkgPath(), "/")
	return strings.Join(append(parts[len(parts)-2:], t.Name()), ".")
}

func openAPIName(t reflect.Type) string {
	parts := strings.Split(t.PkgPath(), "/")
	return "io.k8s." + strings.Join(append(parts[1:], t.Name()), ".")
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
