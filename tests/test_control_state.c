/* A controller's state as text: saved at any step and restored it goes on to the same bits; any other text is refused,
 * and the controller is as before. */
#include "base/number.h"
#include "control.h"

#include <locale.h>

enum { N_STEPS = 60, ROOM = ENTROL_CONTROLLER_STATE_ROOM };

/* Of each controller: saves after every step, restores into a fresh one, and both go on to the end of the run. */
static void test_restart_changes_nothing(void) {
    entrol_context *context = open_alone();
    double sums[N_STEPS];
    for (size_t i = 0; i < N_STEPS; i++)
        sums[i] = 100 * entropy_of_step(3 * i);
    for (size_t k = 0; k < entrol_controller_kind_count(); k++) {
        const char *name = entrol_controller_kind_at(k)->name;
        entrol_controller *whole = make_controller(context, name, NULL);
        for (size_t i = 0; i < N_STEPS; i++) {
            char text[ROOM], again[ROOM];
            entrol_controller *stopped = make_controller(context, name, NULL),
                              *on = make_controller(context, name, NULL);
            size_t n = 0, n_read = 0;
            CHECK_INT(entrol_controller_save(text, &n, sizeof text, whole), ENTROL_OK);
            CHECK_INT(entrol_controller_restore(stopped, &n_read, text, n), ENTROL_OK);
            CHECK_INT(entrol_controller_restore(on, NULL, text, n), ENTROL_OK);
            CHECK_INT(n_read, n);
            CHECK_INT(entrol_controller_save(again, NULL, sizeof again, stopped), ENTROL_OK);
            CHECK_STRING(again, text);
            tell(context, whole, sums[i], 100);
            tell(context, on, sums[i], 100);
            for (size_t j = i; j < N_STEPS; j++)
                tell(context, stopped, sums[j], 100);
            for (size_t j = i + 1; j < N_STEPS; j++)
                tell(context, on, sums[j], 100);
            const entrol_command a = command_of(stopped), b = command_of(on);
            CHECK_SAY(is_same_command(&a, &b), "%s, restarted after %zu steps", name, i);
            entrol_controller_destroy(context, stopped);
            entrol_controller_destroy(context, on);
        }
        entrol_controller_destroy(context, whole);
    }
    entrol_context_destroy(context);
}

/* The form is a promise: this text, written by hand, is what a pi controller writes after two observations whose errors
 * are -0.5 and 0.5. */
static void test_form(void) {
    static const char expected[] = "entrol-controller 1\nname pi\nset min 0\nset max 1\nset slew inf\n"
                                   "set reference_steps 20\nset collapse 0.1x\nset explosion none\n"
                                   "set target 0.8max\nset dead_band 0.001\nset initial 0.125\nset kp 0.02\n"
                                   "set ki 0.002\nset max_entropy 2.5\n"
                                   "step 2\nreference_sum 4\nentropy 1.5\nvalue 0.135\nalarms 0\n"
                                   "limited 0\nheld 0\nintegral 0\nend\n";
    const entrol_setting settings[] = {{"target", 0, "0.80max"}, {"dead_band", 1e-3, NULL}, {"initial", 0.125, NULL},
                                       {"explosion", 0, "none"}, {"kp", 0.02, NULL},        {"ki", 0.002, NULL}};
    entrol_controller_options options = ENTROL_CONTROLLER_OPTIONS_INIT;
    entrol_context *context = open_alone();
    entrol_controller *controller = NULL;
    char text[ROOM];
    options.max_entropy = 2.5;
    CHECK_INT(entrol_controller_create(context, &controller, NULL, "pi", settings, 6, &options), ENTROL_OK);
    tell(context, controller, 2.5, 1);
    tell(context, controller, 1.5, 1);
    CHECK_INT(entrol_controller_save(text, NULL, sizeof text, controller), ENTROL_OK);
    CHECK_STRING(text, expected);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

static void test_room(void) {
    entrol_context *context = open_alone();
    entrol_controller *controller = make_controller(context, "sac", NULL);
    char text[ROOM];
    size_t n = 0, wanted = 0;
    CHECK_INT(entrol_controller_save(NULL, &wanted, 0, controller), ENTROL_OK);
    memset(text, 'z', sizeof text);
    CHECK_INT(entrol_controller_save(text, &n, wanted, controller), ENTROL_ERROR_ARGUMENT);
    CHECK(n == wanted && text[0] == 'z');
    CHECK_INT(entrol_controller_save(text, &n, wanted + 1, controller), ENTROL_OK);
    CHECK(strlen(text) == wanted && n == wanted);
    CHECK_INT(entrol_controller_save(text, NULL, 0, NULL), ENTROL_ERROR_ARGUMENT);
    entrol_controller_destroy(context, controller);
    /* The longest state: as many points as there can be, of the longest numbers. */
    char points[4000] = "";
    for (int i = 0; i < 64; i++)
        sprintf(points + strlen(points), "%s%.17ge%d:-%.17ge-300", i ? "," : "", 1.2345678901234567, 100 + i,
                1.2345678901234567);
    const entrol_setting settings[] = {{"points", 0, points}, {NULL, 0, NULL}};
    controller = make_controller(context, "piecewise", settings);
    CHECK_INT(entrol_controller_save(text, &n, sizeof text, controller), ENTROL_OK);
    CHECK_INT(entrol_controller_restore(controller, NULL, text, n), ENTROL_OK);
    printf("    the longest state has %zu of %d bytes\n", n, ROOM);
    entrol_controller_destroy(context, controller);
    entrol_context_destroy(context);
}

/* --- What is refused --- */

/* A sac controller in mid-run, its state, and one to restore into. */
typedef struct scene {
    entrol_context *context;
    entrol_controller *controller;
    char state[ROOM];
    size_t n;
} scene;

static scene open_scene(void) {
    const entrol_setting settings[] = {{"target", 0, "0.5"}, {NULL, 0, NULL}};
    scene scene = {.context = open_alone()};
    scene.controller = make_controller(scene.context, "sac", settings);
    for (size_t i = 0; i < 30; i++)
        tell(scene.context, scene.controller, entropy_of_step(i), 1);
    CHECK_INT(entrol_controller_save(scene.state, &scene.n, sizeof scene.state, scene.controller), ENTROL_OK);
    return scene;
}

static void close_scene(scene *scene) {
    entrol_controller_destroy(scene->context, scene->controller);
    entrol_context_destroy(scene->context);
}

static void check_unchanged(const scene *scene, const char *what) {
    char text[ROOM];
    CHECK_INT(entrol_controller_save(text, NULL, sizeof text, scene->controller), ENTROL_OK);
    CHECK_SAY(strcmp(text, scene->state) == 0, "%s changed the controller", what);
}

/* The text, with its first `from` replaced. */
static void check_refused(scene *scene, const char *from, const char *to, const char *where) {
    char text[ROOM + 100];
    const char *place = strstr(scene->state, from);
    if (!CHECK_SAY(place != NULL, "no %s", from))
        return;
    const int before = (int)(place - scene->state);
    const int n = sprintf(text, "%.*s%s%s", before, scene->state, to, place + strlen(from));
    size_t n_read = 0;
    CHECK_INT(entrol_controller_restore(scene->controller, &n_read, text, (size_t)n), ENTROL_ERROR_ARGUMENT);
    CHECK_SAY(strncmp(text + n_read, where, strlen(where)) == 0, "\"%s\" for \"%s\": at \"%.20s\"", to, from,
              text + n_read);
    check_unchanged(scene, to);
}

static void test_other_texts(void) {
    scene scene = open_scene();
    check_refused(&scene, "entrol-controller 1\n", "entrol-controller 2\n", "entrol-controller 2");
    check_refused(&scene, "name sac\n", "name pi\n", "name pi");
    check_refused(&scene, "set target 0.5\n", "set target 0.6\n", "set target 0.6");
    check_refused(&scene, "set rate 0.0003\n", "", "set beta1");
    check_refused(&scene, "set max_entropy 2.1972245773362196\n", "set max_entropy 0\n", "set max_entropy 0");
    check_refused(&scene, "step 30\n", "step -1\n", "-1");
    check_refused(&scene, "step 30\n", "step 1.5\n", "step 1.5");
    check_refused(&scene, "step 30\n", "step 1e30\n", "1e30");
    check_refused(&scene, "step 30\n", "step \n", "\n");
    check_refused(&scene, "step 30\n", "step 3x\n", "3x");
    check_refused(&scene, "step 30\n", "step  30\n", " 30");
    check_refused(&scene, "step 30\n", "steps 30\n", "steps");
    check_refused(&scene, "value ", "value 1000000", "1000000");
    check_refused(&scene, "value ", "value -", "-");
    check_refused(&scene, "value ", "value nan\nvalue ", "nan");
    check_refused(&scene, "value ", "value 0000000000000000000000000000000000000000000", "0000");
    check_refused(&scene, "alarms 0\n", "alarms 4\n", "4");
    check_refused(&scene, "held 0\n", "held 2\n", "2");
    check_refused(&scene, "square ", "square -", "-");
    check_refused(&scene, "log_alpha ", "log_alpha 99", "99");
    check_refused(&scene, "end\n", "", "");
    check_refused(&scene, "end\n", "end", "end");
    check_refused(&scene, "end\n", "end\nend\n", "end");
    close_scene(&scene);
}

/* Cut off anywhere, or with a NUL in it. */
static void test_cut_texts(void) {
    scene scene = open_scene();
    for (size_t n = 0; n < scene.n; n++) {
        char *cut = malloc(n + 1); /* so that a sanitizer sees what is read beyond it */
        size_t n_read = 0;
        memcpy(cut, scene.state, n);
        CHECK_INT(entrol_controller_restore(scene.controller, &n_read, cut, n), ENTROL_ERROR_ARGUMENT);
        CHECK(n_read <= n);
        free(cut);
        char nul[ROOM];
        memcpy(nul, scene.state, scene.n);
        nul[n] = 0;
        CHECK_INT(entrol_controller_restore(scene.controller, NULL, nul, scene.n), ENTROL_ERROR_ARGUMENT);
    }
    check_unchanged(&scene, "a cut text");
    CHECK_INT(entrol_controller_restore(scene.controller, NULL, NULL, 0), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_controller_restore(NULL, NULL, scene.state, scene.n), ENTROL_ERROR_ARGUMENT);
    CHECK_INT(entrol_controller_restore(scene.controller, NULL, scene.state, scene.n), ENTROL_OK);
    close_scene(&scene);
}

/* --- Numbers --- */

static void test_numbers(void) {
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "-0"},
                 {1, "1"},
                 {0.1, "0.1"},
                 {-2.5, "-2.5"},
                 {1e-5, "0.00001"},
                 {1e-6, "1e-6"},
                 {123456, "123456"},
                 {1e16, "10000000000000000"},
                 {1e17, "1e17"},
                 {1.5e300, "1.5e300"},
                 {5e-324, "4.94065645841247e-324"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {1.0 / 3, "0.3333333333333333"},
                 {(double)INFINITY, "inf"},
                 {-(double)INFINITY, "-inf"},
                 {(double)NAN, "nan"}};
    char text[ENT_REAL_ROOM + 1];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        text[ent_write_real(text, cases[i].value)] = 0;
        CHECK_STRING(text, cases[i].text);
    }
    /* Any bits, in a locale with a comma where there is one. */
    const char *locale = setlocale(LC_NUMERIC, "de_DE.UTF-8");
    for (int i = 0; i < 200000; i++) {
        const uint64_t bits = test_random();
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        text[ent_write_real(text, value)] = 0;
        ent_reader in = {text, text};
        ent_number number;
        CHECK_SAY(ent_read_number(&number, &in) && !*in.at && ent_number_value(&number, 0) == value, "%a is \"%s\"",
                  value, text);
    }
    printf("    numbers in the locale %s\n", locale ? locale : "C (there is no de_DE)");
    setlocale(LC_NUMERIC, "C");
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_restart_changes_nothing);
    TEST(test_form);
    TEST(test_room);
    TEST(test_other_texts);
    TEST(test_cut_texts);
    TEST(test_numbers);
    return test_end();
}
