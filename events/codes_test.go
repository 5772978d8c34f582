package events

import (
	"cmp"
	"slices"
	"strings"
	"testing"
)

func TestCodesAreSortedAndUnique(t *testing.T) {
	t.Parallel()
	all := Codes()
	byKey := func(a, b Code) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.ErrorCode, b.ErrorCode))
	}
	for i := 1; i < len(all); i++ {
		if byKey(all[i-1], all[i]) >= 0 {
			t.Errorf("%s %d does not stand after %s %d", all[i].Family, all[i].ErrorCode, all[i-1].Family, all[i-1].ErrorCode)
		}
	}
	inFile, err := parseCodes(codesCSV)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(all, inFile.sorted) {
		t.Error("Codes differs from codes.csv")
	}
	all[0].Meaning = "changed by a caller"
	if Codes()[0].Meaning == all[0].Meaning {
		t.Error("a caller can change the table")
	}
}

func TestCodesSayWhatTheyMean(t *testing.T) {
	t.Parallel()
	for _, c := range Codes() {
		if !slices.Contains(categories, c.Category) {
			t.Errorf("%s %d: category %q is not in the vocabulary", c.Family, c.ErrorCode, c.Category)
		}
		for what, s := range map[string]string{"meaning": c.Meaning, "advice": c.Advice} {
			if !strings.HasSuffix(s, ".") || strings.TrimSpace(s) != s || strings.ContainsAny(s, "\n\t") || strings.Contains(s, "  ") {
				t.Errorf("%s %d: %s %q is no line of sentences", c.Family, c.ErrorCode, what, s)
			}
		}
		if len(c.Meaning) > 100 || len(c.Advice) > 160 {
			t.Errorf("%s %d: meaning or advice is too long for a table", c.Family, c.ErrorCode)
		}
		if c.Name != strings.ToUpper(c.Name) {
			t.Errorf("%s %d: name %q is not in upper case", c.Family, c.ErrorCode, c.Name)
		}
		if (c.ErrorCode == 0) != (c.Category == CategoryOK) {
			t.Errorf("%s %d: category %s; ok is for 0 alone", c.Family, c.ErrorCode, c.Category)
		}
	}
}

// Advice may be shared, but not between what the caller has to mend and what
// the caller cannot: it would be empty for one of them.
func TestAdviceIsNotForEverything(t *testing.T) {
	t.Parallel()
	first := make(map[string]Code)
	for _, c := range Codes() {
		if c.Category != CategoryOK && strings.HasPrefix(c.Advice, "Nothing to do") {
			t.Errorf("%s %d: %q of a code that says something", c.Family, c.ErrorCode, c.Advice)
		}
		other, shared := first[c.Advice]
		if !shared {
			first[c.Advice] = c
		} else if CallerFault(c.Category) != CallerFault(other.Category) {
			t.Errorf("%s %d (%s) and %s %d (%s) share the advice %q", c.Family, c.ErrorCode, c.Category,
				other.Family, other.ErrorCode, other.Category, c.Advice)
		}
	}
}

func TestLookupCode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		family   Family
		code     int64
		category string // "" for a code in no list of the family
	}{
		// What means two things.
		{Native, 1000017, CategoryParameter}, {Web, 1000017, CategoryNetwork},
		{Native, 1000018, CategoryParameter}, {Web, 1000018, CategoryClientUsage},
		{Native, 1000019, CategoryParameter}, {Web, 1000019, CategoryClientUsage},
		{Native, 1001005, CategoryAuth}, {Web, 1001005, CategoryClientUsage},
		{Native, 1002014, CategoryParameter}, {Web, 1002014, CategoryNetwork},
		{Native, 1002056, CategoryKick}, {Web, 1002056, CategoryClientUsage},
		{Native, 1002057, CategoryKick}, {Web, 1002057, CategoryClientUsage},
		// What the status pages name for each reason.
		{Native, 0, CategoryOK}, {Web, 0, CategoryOK},
		{Native, 1002033, CategoryAuth}, {Web, 1002033, CategoryAuth},
		{Native, 1002053, CategoryNetwork}, {Web, 1002053, CategoryNetwork},
		{Native, 1002051, CategoryNetwork}, {Web, 1002051, CategoryNetwork},
		{Native, 1002050, CategoryKick}, {Web, 1002050, CategoryKick},
		{Native, 1002055, CategoryKick}, {Web, 1002055, CategoryKick},
		{Native, 1002002, CategoryClientUsage}, {Web, 1002002, CategoryClientUsage},
		{Native, 1000001, CategoryClientUsage}, {Web, 1000001, ""},
		{Native, 1002031, CategoryNetwork}, {Web, 1002031, CategoryNetwork},
		{Web, 1102016, CategoryAuth}, {Web, 1102018, CategoryAuth}, {Web, 1102020, CategoryAuth},
		// The rest, one or two of each sort.
		{Native, 1002019, CategoryClientUsage}, {Web, 1002019, ""},
		{Native, 1002001, CategoryClientUsage}, {Native, 1002013, CategoryParameter},
		{Native, 1002034, CategoryQuota}, {Web, 1002034, CategoryQuota},
		{Native, 1002066, CategoryAuth}, {Native, 1002073, CategoryQuota},
		{Native, 1002086, CategoryKick}, {Native, 1002099, CategoryServer}, {Web, 1002099, CategoryServer},
		{Native, 1000037, CategoryAuth}, {Native, 1000038, CategoryServer}, {Native, 1000039, CategoryAuth},
		{Native, 1000060, CategoryNetwork}, {Native, 1000090, CategoryUnknown},
		{Native, 1001003, CategoryParameter}, {Native, 1001004, CategoryAuth}, {Native, 1001091, CategoryParameter},
		{Web, 1100999, CategoryServer}, {Web, 1101000, CategoryAuth}, {Web, 1102001, CategoryNetwork},
		{Web, 1102012, CategoryClientUsage}, {Web, 1102017, CategoryServer}, {Web, 1102026, CategoryClientUsage},
		{Web, 1100001016, CategoryQuota}, {Web, 1000005022, CategoryQuota}, {Web, 1000000101, CategoryServer},
		{Web, 2000000001, CategoryAuth},
		// What one family has and the other has not.
		{Native, 1102018, ""}, {Native, 1100002, ""}, {Native, 1002058, ""},
		{Web, 1002009, ""}, {Web, 1002030, ""}, {Web, 1002035, ""}, {Web, 1002087, ""},
		{Native, 42, ""}, {Web, -1, ""}, {"", 0, ""},
	} {
		c, ok := LookupCode(tc.family, tc.code)
		if ok != (tc.category != "") || c.Category != tc.category {
			t.Errorf("LookupCode(%q, %d) = category %q, %t, want %q", tc.family, tc.code, c.Category, ok, tc.category)
		}
		if ok && (c.Family != tc.family || c.ErrorCode != tc.code) {
			t.Errorf("LookupCode(%q, %d) found the row of %q, %d", tc.family, tc.code, c.Family, c.ErrorCode)
		}
	}
}

func TestCallerFault(t *testing.T) {
	t.Parallel()
	want := []string{CategoryAuth, CategoryParameter, CategoryClientUsage}
	for _, c := range categories {
		if got := CallerFault(c); got != slices.Contains(want, c) {
			t.Errorf("CallerFault(%q) = %t", c, got)
		}
	}
}

func TestParseCodesNamesTheBrokenLine(t *testing.T) {
	t.Parallel()
	header := strings.Join(codeHeader, ",") + "\n"
	for name, tc := range map[string]struct{ text, want string }{
		"empty":            {"", "EOF"},
		"other header":     {"family,code,name,category,meaning,advice\n", "read header"},
		"missing field":    {header + "web,0,SUCCESS,ok,No error.\n", "line 2"},
		"no number":        {header + "web,0,A,ok,No error.,Nothing.\nweb,x,B,auth,Text.,Wait.\n", `line 3: error_code "x"`},
		"unknown family":   {header + "mini,1,A,auth,Text.,\n", `line 2: family "mini"`},
		"unknown category": {header + "web,1,A,weather,Text.,\n", `line 2: category "weather"`},
		"no meaning":       {header + "web,1,A,auth,,Wait.\n", "line 2: web 1 has no meaning or no advice"},
		"no advice":        {header + "web,1,A,auth,Text.,\n", "line 2: web 1 has no meaning or no advice"},
		"twice":            {header + "web,1,A,auth,Text.,Wait.\nweb,1,B,auth,Text.,Wait.\n", "line 3: web 1 stands"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseCodes(tc.text)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("parseCodes: %v, want an error with %q", err, tc.want)
			}
		})
	}
}
