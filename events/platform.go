package events

import "strings"

// Family decides which meaning an error code has and which retry window
// applies: the web SDKs and the native ones differ in both (contract 2).
type Family string

const (
	Web    Family = "web"
	Native Family = "native"
)

// webPlatforms and nativePlatforms are the platforms of contract 2. Browser
// builds of cross-platform SDKs speak the web SDK's codes and so are web.
var (
	webPlatforms    = []string{"web", "mini_program", "unity_webgl", "flutter_web", "uni_app_web", "cocos_web"}
	nativePlatforms = []string{
		"flutter", "android", "ios", "macos", "windows", "linux", "unity", "react_native",
		"electron", "uni_app", "harmonyos", "cocos", "unreal",
	}
	platforms = platformTable()
)

type platform struct {
	name   string
	family Family
}

func platformTable() map[string]platform {
	t := make(map[string]platform)
	for _, p := range webPlatforms {
		t[p] = platform{p, Web}
	}
	for _, p := range nativePlatforms {
		t[p] = platform{p, Native}
	}
	return t
}

// UnknownPlatform stands for every platform that is not in the table of
// contract 2. It is of the native family.
const UnknownPlatform = "unknown"

// NormalizePlatform spells a platform the one way the read model knows it and
// names its family: any case, hyphens as underscores (contract 2).
func NormalizePlatform(s string) (string, Family) {
	if p, ok := platforms[s]; ok {
		return p.name, p.family
	}
	if p, ok := platforms[strings.ReplaceAll(strings.ToLower(s), "-", "_")]; ok {
		return p.name, p.family
	}
	return UnknownPlatform, Native
}
