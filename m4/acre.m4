# acre.m4: what configure.ac needs beyond the macros of Autoconf, Libtool and pkg-config.

# ACRE_ADD_CFLAGS(VARIABLE, FLAG...)
# Appends each blank-separated FLAG that the C compiler accepts to the output variable VARIABLE.
# -Werror makes clang refuse an unknown flag instead of warning about it.
AC_DEFUN([ACRE_ADD_CFLAGS], [
  AC_SUBST([$1])
  for acre_flag in $2; do
    AS_VAR_PUSHDEF([acre_cached], [acre_cv_cflag_$acre_flag])
    AC_CACHE_CHECK([whether $CC accepts $acre_flag], [acre_cached], [
      acre_saved_cflags=$CFLAGS
      CFLAGS="$CFLAGS -Werror $acre_flag"
      AC_COMPILE_IFELSE([AC_LANG_PROGRAM()], [AS_VAR_SET([acre_cached], [yes])],
                        [AS_VAR_SET([acre_cached], [no])])
      CFLAGS=$acre_saved_cflags
    ])
    AS_VAR_IF([acre_cached], [yes], [AS_VAR_APPEND([$1], [" $acre_flag"])])
    AS_VAR_POPDEF([acre_cached])
  done
])
