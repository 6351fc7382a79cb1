#include "cmd/docs.h"

#include <criterion/criterion.h>
#include <string.h>

/* What docs_reply_arguments writes in RESP3, with spaces for line ends. */
static char *arguments_of(const char *syntax)
{
    static char text[8192];
    struct output output;
    output_init(&output, 1 << 20);
    struct reply reply = {.output = &output, .resp = 3};
    docs_reply_arguments(&reply, syntax);
    cr_assert_lt(output.bytes.bytes, sizeof(text));
    size_t bytes = 0;
    for (size_t i = 0; i < output.bytes.bytes; i++) {
        char c = (char)output.bytes.data[i];
        if (c != '\r') {
            text[bytes++] = c == '\n' ? ' ' : c;
        }
    }
    text[bytes] = '\0';
    output_deinit(&output);
    return text;
}

static bool has(const char *syntax, const char *part)
{
    return strstr(arguments_of(syntax), part) != NULL;
}

Test(docs, nothing_is_an_empty_array)
{
    cr_assert_str_eq(arguments_of(""), "*0 ");
}

Test(docs, a_word_is_an_argument_with_a_type)
{
    cr_assert_str_eq(arguments_of("key"), "*1 %2 $4 name $3 key $4 type $3 key ");
    cr_assert(has("key value", "*2 "));
    cr_assert(has("seconds", "$7 integer"));
    cr_assert(has("unix-time-milliseconds", "$9 unix-time"));
}

Test(docs, a_repeat_is_a_flag_of_what_it_repeats)
{
    cr_assert(has("key [key ...]", "*1 %3 "));
    cr_assert(has("key [key ...]", "$5 flags *1 +multiple"));
}

Test(docs, brackets_are_optional)
{
    cr_assert(has("[count]", "$5 flags *1 +optional"));
    cr_assert(has("[GET]", "$10 pure-token"));
    cr_assert(has("[MATCH pattern]", "$5 token $5 MATCH"));
    cr_assert(has("[MATCH pattern]", "$4 name $7 pattern"));
}

Test(docs, bars_are_a_choice)
{
    const char *syntax = "[NX | XX]";
    cr_assert(has(syntax, "$5 oneof"));
    cr_assert(has(syntax, "$9 arguments *2 "));
    cr_assert(has(syntax, "$5 token $2 NX"));
    cr_assert(has(syntax, "$5 token $2 XX"));
}

/* Each row's text can be read to its end: the parser asserts what it needs. */
Test(docs, every_command_can_be_documented)
{
    commands_init();
    for (uint8_t resp = 2; resp <= 3; resp++) {
        for (uint32_t i = 0; i < command_count(); i++) {
            struct output output;
            output_init(&output, 1 << 20);
            struct reply reply = {.output = &output, .resp = resp};
            docs_reply(&reply, command_at(i));
            cr_assert_not(output.broken);
            cr_assert_gt(output.bytes.bytes, 0);
            cr_assert_eq(output.bytes.data[0], resp == 3 ? '%' : '*');
            output_deinit(&output);
        }
    }
}
